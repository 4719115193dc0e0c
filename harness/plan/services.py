"""Services with their nodePorts, endpoints and explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.plan import PlannedPod, PlannedService
from harness.model.workload import Service
from harness.plan import endpoints, ports
from harness.plan.explain import explain
from harness.plan.selection import PodIndex, Selected


def planned_services(
    services: Sequence[Service],
    selected: Selected,
    pods: Mapping[str, PlannedPod],
    node_ports: ports.NodePorts,
    index: PodIndex,
    asleep: PodIndex,
) -> tuple[PlannedService, ...]:
    """The Services in the order given; ``index`` and ``asleep`` are what explanations look for pods in."""
    planned = []
    for service in services:
        chosen = selected[ports.key(service)]
        its_ports = endpoints.planned_ports(service, chosen, pods, node_ports)
        planned.append(
            PlannedService(
                namespace=service.namespace,
                name=service.name,
                type=service.type,
                selector=dict(sorted(service.selector.items())),
                ports=its_ports,
                explanation=explain(service, its_ports, chosen, index, asleep),
                external_addresses=service.external_ips,
                affinity_seconds=service.affinity_seconds,
                external_traffic_policy=service.external_traffic_policy,
                internal_traffic_policy=service.internal_traffic_policy,
                allowed_sources=service.allowed_sources,
            )
        )
    return tuple(planned)
