"""The plan as the variables that Ansible takes: one document, one part a node and role. Pure.

Its shape is the border between Python and Ansible, ``docs/architecture.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness.model.address import IPFamily
from harness.model.plan import Check, Endpoint, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService
from harness.plan.addresses import CLUSTER_RANGE, SERVICE_RANGE, gateway
from harness.plan.families import CLUSTER_RANGE6, SERVICE_RANGE6, gateway6

STATE_VERSION = 2
"""The version of ``/etc/nodeport/state.json`` that nodeportd understands."""


def render(plan: Plan) -> dict[str, object]:
    """``nodeport_generation`` and ``nodeport_nodes``, in plain JSON values and a stable order."""
    return {
        "nodeport_generation": plan.generation,
        "nodeport_nodes": {
            node.name: {
                "network": _network(node, plan),
                "pods": [_pod(pod) for pod in plan.pods if pod.node == node.name],
                "forwarder": _forwarder(node, plan),
            }
            for node in plan.nodes
        },
    }


def render_steps(before: Plan, steps: Sequence[Plan], *, known: bool = True) -> list[dict[str, object]]:
    """``nodeport_steps`` of ``change.yml``: for each step its number, and for each node what differs from the last one.

    ``nodes`` → ``n1`` → ``pods`` (role workload), ``forwarder`` (role forwarder), and, if not 0, ``min_ready_seconds``:
    so long the pods that enter have to be ready before the next step. If it is not ``known``
    that the nodes run ``before``, the first step has everything.
    """
    parts = [
        {node.name: _differing(node, last, plan) for node in plan.nodes} for last, plan in pairwise((before, *steps))
    ]
    if not known:
        parts[0] = _whole(steps[0])
    return [{"number": number, "of": len(steps), "nodes": part} for number, part in enumerate(parts, 1)]


def _whole(plan: Plan) -> dict[str, dict[str, object]]:
    return {
        node.name: {
            "pods": [_pod(pod) for pod in plan.pods if pod.node == node.name],
            "forwarder": _forwarder(node, plan),
        }
        for node in plan.nodes
    }


def _differing(node: PlannedNode, last: Plan, plan: Plan) -> dict[str, object]:
    was, shall = ([_pod(pod) for pod in each.pods if pod.node == node.name] for each in (last, plan))
    part: dict[str, object] = {"pods": shall} if was != shall else {}
    if last.generation == plan.generation:
        return part
    lasting = _min_ready_seconds(last, plan)
    return part | {"forwarder": _forwarder(node, plan)} | ({"min_ready_seconds": lasting} if lasting else {})


def _min_ready_seconds(last: Plan, plan: Plan) -> int:
    """The longest ``minReadySeconds`` of the pods that enter the endpoints."""
    were, are = ({each.pod for service in p.services for port in service.ports for each in port.endpoints}
                 for p in (last, plan))  # fmt: skip
    return max((pod.min_ready_seconds for pod in plan.pods if pod.key in are - were), default=0)


def _network(node: PlannedNode, plan: Plan) -> dict[str, object]:
    others = sorted((other for other in plan.nodes if other.name != node.name), key=lambda other: other.name)
    return {
        "node": node.name,
        "mode": plan.pod_network,
        "address": node.address,
        "pod_range": node.pod_range,
        "gateway": gateway(node.pod_range),
        "cluster_range": str(CLUSTER_RANGE),
        "routes": [
            *({"to": other.pod_range, "via": other.address} for other in others),
            {"to": str(SERVICE_RANGE), "via": gateway(node.pod_range)},
        ],
        **({"ipv6": _network6(node, others)} if node.address6 else {}),
    }


def _network6(node: PlannedNode, others: Sequence[PlannedNode]) -> dict[str, object]:
    return {
        "address": node.address6,
        "pod_range": node.pod_range6,
        "gateway": gateway6(node.pod_range6),
        "cluster_range": str(CLUSTER_RANGE6),
        "routes": [
            *({"to": other.pod_range6, "via": other.address6, "beside": other.pod_range} for other in others),
            {"to": str(SERVICE_RANGE6), "via": gateway6(node.pod_range6)},
        ],
    }


def _pod(pod: PlannedPod) -> dict[str, object]:
    return {
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "address": pod.address,
        **({"address6": pod.address6} if pod.address6 else {}),
        "listens": [{"port": listen.port, "protocol": listen.protocol.value} for listen in pod.listens],
        "termination_grace_period_seconds": pod.termination_grace_period_seconds,
        "restart_policy": pod.restart_policy.value,
        **({"memory_limit": pod.memory_limit} if pod.memory_limit is not None else {}),
    }


def _forwarder(node: PlannedNode, plan: Plan) -> dict[str, object]:
    return {
        "version": STATE_VERSION,
        "generation": plan.generation,
        "node": node.name,
        "backend": node.backend,
        "addresses": [*node.serving, *node.serving6],
        "cluster_ranges": [str(CLUSTER_RANGE), *([str(CLUSTER_RANGE6)] if node.address6 else [])],
        "checks": list(_checks(plan)),
        "services": [_service(service) for service in plan.forwarded],
    }


def _checks(plan: Plan) -> Iterator[dict[str, object]]:
    """One for each address of a pod that is an endpoint and can be asked; on every node the same."""
    ends = {end.address for service in plan.forwarded for port in service.ports for end in port.endpoints if end.pod}
    for pod in plan.pods:
        for address in (pod.address, pod.address6):
            if pod.check is not None and address in ends:
                yield _check(pod, address, pod.check)


def _check(pod: PlannedPod, address: str, check: Check) -> dict[str, object]:
    return {
        "pod": pod.key,
        "address": address,
        "kind": "http" if check.path else "tcp",
        "port": check.port,
        "path": check.path,
        "host": check.host,
        "headers": [{"name": name, "value": value} for name, value in check.headers],
        "scheme": "HTTP",
        "initial_delay_seconds": check.initial_delay_seconds,
        "period_seconds": check.period_seconds,
        "timeout_seconds": check.timeout_seconds,
        "success_threshold": check.success_threshold,
        "failure_threshold": check.failure_threshold,
    }


def _service(service: PlannedService) -> dict[str, object]:
    return {
        "namespace": service.namespace,
        "name": service.name,
        **({} if service.ip_families == (IPFamily.V4,) else {"ip_families": list(map(str, service.ip_families))}),
        "cluster_addresses": list(service.cluster_addresses),
        "external_addresses": list(service.external_addresses),
        "affinity_seconds": service.affinity_seconds,
        "external_traffic_policy": service.external_traffic_policy.value,
        "internal_traffic_policy": service.internal_traffic_policy.value,
        "allowed_sources": list(service.allowed_sources),
        "health_check_node_port": service.health_check_node_port,
        "ports": [_port(port) for port in service.ports],
    }


def _port(port: PlannedPort) -> dict[str, object]:
    return {
        "name": port.name,
        "protocol": port.protocol.value,
        "port": port.port,
        "node_port": port.node_port or 0,
        "endpoints": [_endpoint(endpoint) for endpoint in port.endpoints],
    }


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    return {
        "address": endpoint.address,
        "port": endpoint.port,
        "node": endpoint.node,
        "pod": endpoint.pod,
        "always": endpoint.always,
        "terminating": endpoint.terminating,
    }
