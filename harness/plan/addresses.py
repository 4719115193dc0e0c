"""Node pod ranges and pod addresses: 10.244.0.0/16 cut into one /24 a node, the first host its gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from harness.model.cluster import Node
from harness.model.forwarder import DEFAULT
from harness.model.plan import Plan, PlannedNode
from harness.plan import families, nodeport_addresses

CLUSTER_RANGE = IPv4Network("10.244.0.0/16")
"""All pods of a lab."""

SERVICE_RANGE = IPv4Network("10.96.0.0/12")
"""The Services' own addresses: kubeadm's default --service-cluster-ip-range."""

NODE_PREFIX = 24
NODE_RANGES = tuple(CLUSTER_RANGE.subnets(new_prefix=NODE_PREFIX))
PODS_PER_NODE = 253
"""Addresses of a /24 without network, gateway and broadcast."""


def gateway(pod_range: str) -> str:
    """The pods' gateway on their node: the first host of the range, such as ``10.244.1.1``."""
    return str(IPv4Network(pod_range)[1])


def check_nodes(nodes: Sequence[Node], problems: list[str]) -> None:
    """Add to ``problems`` everything that makes these nodes unusable for a plan."""
    if not nodes:
        problems.append("there is no node to plan for (`harness up` makes some)")
    if len(nodes) > len(NODE_RANGES):
        problems.append(
            f"{len(nodes)} nodes are too many: the pod range {CLUSTER_RANGE} has room for {len(NODE_RANGES)} nodes "
            f"with a /{NODE_PREFIX} each (use at most {len(NODE_RANGES)} nodes)"
        )
    sixes = [node.address6 for node in nodes if node.address6]
    named = (("name", [node.name for node in nodes]), ("address", [node.address for node in nodes]), ("address", sixes))
    for what, values in named:
        for value, times in Counter(values).items():
            if times > 1:
                problems.append(f"{times} nodes have the {what} {value} (each node needs its own)")
    problems.extend(reason for node in nodes if (reason := _address_fault(node) or families.fault(node)))
    problems.extend(
        reason
        for node in nodes
        if (reason := nodeport_addresses.fault(node.name, node.address, others(node), node.nodeport_addresses))
    )


def _address_fault(node: Node) -> str:
    try:
        address = IPv4Address(node.address)
    except ValueError:
        return f"node {node.name}: {node.address!r} is not an IPv4 address (give the address that serves nodePorts)"
    if address in CLUSTER_RANGE:
        return (
            f"node {node.name}: its address {address} lies in the pod range {CLUSTER_RANGE}, "
            "so it could not be told from a pod's (give the nodes another network)"
        )
    if address in SERVICE_RANGE:
        return (
            f"node {node.name}: its address {address} lies in the Service range {SERVICE_RANGE}, which every node "
            "routes to itself, so it would not be reached (give the nodes another network)"
        )
    return ""


def others(node: Node) -> tuple[str, ...]:
    """A node's further addresses, without those of the pod network, which come and go with it."""
    return tuple(each for each in node.other_addresses if IPv4Interface(each).ip not in CLUSTER_RANGE)


def give_ranges(nodes: Sequence[Node], previous: Plan | None, *, dual: bool = False) -> tuple[PlannedNode, ...]:
    """Each node with its pod range: the one it had, else the lowest free one; cordons and forwarders stay."""
    had = {node.name: node.backend for node in previous.nodes} if previous else {}
    held = {node.name: IPv4Network(node.pod_range) for node in previous.nodes} if previous else {}
    cordoned = {node.name for node in previous.nodes if node.unschedulable} if previous else set()
    names = {node.name for node in nodes}
    used = {pod_range for name, pod_range in held.items() if name in names}
    free = (pod_range for pod_range in NODE_RANGES if pod_range not in used)
    ranges = {node.name: str(held[node.name] if node.name in held else next(free)) for node in nodes}
    return tuple(
        PlannedNode(
            node.name,
            node.address,
            ranges[node.name],
            node.forwarder or had.get(node.name, DEFAULT),
            node.name in cordoned,
            others(node),
            nodeport_addresses.served(node.address, others(node), node.nodeport_addresses),
            node.address6 if dual else "",
            families.range_of(ranges[node.name]) if dual else "",
        )
        for node in nodes
    )


def give_addresses(
    pod_range: str, pods: Sequence[str], kept: Mapping[str, str], before: Iterable[str]
) -> dict[str, str]:
    """An address for each of ``pods`` (keys) of one node: the one in ``kept``, else a new one.

    New addresses follow the highest one in use and wrap around; one of ``before`` (all addresses that the
    previous plan used in this range) is given to another pod only when nothing else is left, so that a
    connection from before does not meet a new pod.

    The caller sees to it that there are at most :data:`PODS_PER_NODE` pods.
    """
    network = IPv4Network(pod_range)
    first, last = int(network[2]), int(network[-2])
    stale = {int(IPv4Address(address)) for address in before}
    used = {int(IPv4Address(kept[key])) for key in pods if key in kept}
    start = max(stale | used, default=first - 1) + 1
    circle = [*range(start, last + 1), *range(first, start)]
    free = iter(
        [number for number in circle if number not in used and number not in stale]
        + [number for number in circle if number not in used and number in stale]
    )
    return {key: kept[key] if key in kept else str(IPv4Address(next(free))) for key in pods}
