"""The entry to this room: manifests and nodes in, plan out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from harness.errors import PlanError
from harness.model.cluster import Node
from harness.model.plan import Listen, Note, Plan, PlannedNode, PlannedPod, PlannedService
from harness.model.workload import Service, ServiceType, Workload
from harness.plan import addresses, endpoints, names, notes, ports, schedule
from harness.plan.explain import explain
from harness.plan.selection import PodIndex, Selected, select_all
from harness.plan.wanted import WantedPod, wanted_pods


def build(workload: Workload, nodes: Sequence[Node], lab_uid: str, previous: Plan | None) -> Plan:
    """What every node shall do for ``workload``, moving as little as possible of ``previous``.

    Pure and deterministic: the same input gives the same plan, whatever the order of manifests or labels. Where
    pods go, see :mod:`harness.plan.schedule`; which addresses and nodePorts things get, :mod:`.addresses` and
    :mod:`.ports`. Services and pods are sorted by key, nodes stay in their order, endpoints follow their addresses.

    Raises :class:`PlanError` with every reason at once when these nodes cannot carry the workload.
    """
    problems: list[str] = []
    services = sorted(workload.services, key=ports.key)
    addresses.check_nodes(nodes, problems)
    node_ports = ports.allocate(services, previous, problems)
    schedule.check_room(workload, len(nodes), problems)
    if problems:
        raise PlanError("\n".join(problems))
    planned_nodes = addresses.give_ranges(nodes, previous)
    placed = _place(wanted_pods(workload, planned_nodes, lab_uid, previous), planned_nodes, previous)
    index = PodIndex(pod for pod, _, _ in placed)
    selected = select_all(services, index)
    listens = endpoints.listens([pod for pod, _, _ in placed], services, selected)
    pods = {pod.key: _planned_pod(pod, node, address, lab_uid, listens[pod.key]) for pod, node, address in placed}
    plan = Plan(
        lab_uid=lab_uid,
        generation=1,
        nodes=planned_nodes,
        pods=tuple(pods[key] for key in sorted(pods)),
        services=_planned_services(workload, services, index, selected, pods, node_ports),
        notes=_notes(workload, services, selected),
    )
    return replace(plan, generation=_generation(plan, previous))


Placed = tuple[WantedPod, str, str]
"""A pod, its node and its address."""


def _place(pods: Sequence[WantedPod], nodes: Sequence[PlannedNode], previous: Plan | None) -> list[Placed]:
    """The pods with their places, in the order of their addresses."""
    node_of = schedule.place(pods, nodes)
    address_of = schedule.address(pods, node_of, nodes, previous)
    placed = [(pod, node_of[pod.key], address_of[pod.key]) for pod in pods]
    return sorted(placed, key=lambda each: IPv4Address(each[2]))


def _planned_pod(pod: WantedPod, node: str, address: str, lab_uid: str, listens: tuple[Listen, ...]) -> PlannedPod:
    return PlannedPod(
        namespace=pod.namespace,
        name=pod.name,
        uid=names.pod_uid(lab_uid, pod.key, (node, address), pod.template_hash, listens),
        node=node,
        address=address,
        labels=dict(sorted(pod.labels.items())),
        images=tuple(container.image for container in pod.spec.containers),
        listens=listens,
        owner=pod.owner,
        revision=pod.template_hash if pod.owner else "",
        termination_grace_period_seconds=pod.spec.termination_grace_period_seconds,
    )


def _planned_services(
    workload: Workload,
    services: Sequence[Service],
    index: PodIndex,
    selected: Selected,
    pods: Mapping[str, PlannedPod],
    node_ports: ports.NodePorts,
) -> tuple[PlannedService, ...]:
    empty = [replica_set for replica_set in workload.replica_sets if not replica_set.replicas]
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
                explanation=explain(service, its_ports, chosen, index, empty),
            )
        )
    return tuple(planned)


def _notes(workload: Workload, services: Sequence[Service], selected: Selected) -> tuple[Note, ...]:
    of_services = [note for service in services for note in notes.of_service(service, selected[ports.key(service)])]
    return tuple(notes.of_ignored(workload.ignored) + of_services)


def _generation(plan: Plan, previous: Plan | None) -> int:
    """One more than before when a node has to learn of a change."""
    if previous is None:
        return 1
    return previous.generation + (_reaching_nodes(plan) != _reaching_nodes(previous))


def _reaching_nodes(plan: Plan) -> object:
    """The part of a plan that :mod:`harness.converge.hostvars` sends to nodes, in an order of its own."""
    return (
        sorted((node.name, node.address, node.pod_range) for node in plan.nodes),
        [
            (pod.key, pod.uid, pod.node, pod.address, pod.listens, pod.termination_grace_period_seconds)
            for pod in plan.pods
        ],
        [
            (service.key, port.name, port.protocol, port.node_port, port.endpoints)
            for service in plan.services
            if service.type is ServiceType.NODE_PORT
            for port in service.ports
        ],
    )
