"""Pods to nodes: spread evenly, move nothing that has a place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.errors import PlanError
from harness.model.plan import Plan, PlannedNode
from harness.model.workload import Workload
from harness.plan.addresses import PODS_PER_NODE, give_addresses
from harness.plan.wanted import WantedPod


def check_room(workload: Workload, nodes: int, problems: list[str]) -> None:
    """Add to ``problems`` when the pods are more than the nodes' pod ranges hold."""
    pods = len(workload.pods) + sum(replica_set.replicas for replica_set in workload.replica_sets)
    room = nodes * PODS_PER_NODE
    if nodes and pods > room:
        problems.append(
            f"{pods} pods are too many for {nodes} node{'s' if nodes > 1 else ''}: the pod range of a node "
            f"has {PODS_PER_NODE} addresses, {room} in all (use more nodes or fewer replicas)"
        )


def place(pods: Sequence[WantedPod], nodes: Sequence[PlannedNode]) -> dict[str, str]:
    """The node for each pod's key.

    A pod stays where it is while its node is there. Any other pod goes to the node with the fewest pods of
    its owner, among those to the one with the fewest pods, among those to the first; full and cordoned nodes are left
    out.

    Raises :class:`PlanError` when a pod has nowhere to go.
    """
    order = {node.name: number for number, node in enumerate(nodes)}
    cordoned = {node.name for node in nodes if node.unschedulable}
    placed: dict[str, str] = {}
    total: dict[str, int] = dict.fromkeys(order, 0)
    owned: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(order, 0))

    def put(pod: WantedPod, node: str) -> None:
        placed[pod.key] = node
        total[node] += 1
        if pod.owner:
            owned[pod.namespace, pod.owner][node] += 1

    for pod in pods:
        if pod.before and pod.before.node in order:
            put(pod, pod.before.node)
    for pod in pods:
        if pod.key in placed:
            continue
        mine = owned[pod.namespace, pod.owner]
        roomy = [node for node in order if total[node] < PODS_PER_NODE and node not in cordoned]
        if not roomy:
            raise PlanError(
                f"{pod.title}: no node has room for another pod; cordoned: {', '.join(sorted(cordoned)) or 'none'}",
                hint="harness uncordon NODE",
            )
        put(pod, min(roomy, key=lambda node: (mine[node], total[node], order[node])))
    return placed


def address(
    pods: Sequence[WantedPod], placed: Mapping[str, str], nodes: Sequence[PlannedNode], previous: Plan | None
) -> dict[str, str]:
    """The address for each pod's key; a pod that stays on its node keeps its own."""
    before: defaultdict[str, list[str]] = defaultdict(list)
    if previous:
        ranges = {node.name: node.pod_range for node in previous.nodes}
        for old in previous.pods:
            before[ranges[old.node]].append(old.address)
    residents: defaultdict[str, list[str]] = defaultdict(list)
    kept: dict[str, str] = {}
    for pod in pods:
        residents[placed[pod.key]].append(pod.key)
        if pod.before and pod.before.node == placed[pod.key]:
            kept[pod.key] = pod.before.address
    addresses: dict[str, str] = {}
    for node in nodes:
        addresses |= give_addresses(node.pod_range, residents[node.name], kept, before[node.pod_range])
    return addresses
