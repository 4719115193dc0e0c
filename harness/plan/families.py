"""Which families of addresses the cluster has, and each Service gets (KEP-563).

A cluster has IPv6 besides IPv4 when every node has an IPv6 address. IPv4 comes first: it is the family of a
Service that names none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from harness.model.address import IPFamily, IPFamilyPolicy, parsed
from harness.model.cluster import Node
from harness.model.workload import Service
from harness.plan.ports import key
from harness.plan.words import first_few

CLUSTER_RANGE6 = IPv6Network("fd00:10:244::/56")
"""All pods of a lab; each node has a /64 of it, by the number of its IPv4 range."""

SERVICE_RANGE6 = IPv6Network("fd00:10:96::/112")
"""The Services' own IPv6 addresses."""

Families = Mapping[str, tuple[IPFamily, ...]]
"""The families of each Service, by its key, in the order of its addresses."""

ONE = (IPFamily.V4,)
BOTH = (IPFamily.V4, IPFamily.V6)
_HINT = "`harness up --ip-families IPv4,IPv6`, or nodeport_address6 of each machine in the inventory"


def of_cluster(nodes: Sequence[Node]) -> tuple[IPFamily, ...]:
    """The families that all nodes have."""
    return BOTH if nodes and all(node.address6 for node in nodes) else ONE


def of_services(services: Sequence[Service], nodes: Sequence[Node], problems: list[str]) -> Families:
    """The families of every Service; add to ``problems`` those that this cluster cannot serve."""
    there = of_cluster(nodes)
    lacking = [node.name for node in nodes if not node.address6]
    why = f"{first_few(lacking)} {'has' if len(lacking) == 1 else 'have'} no IPv6 address ({_HINT})" if lacking else ""
    for service in services:
        if service.ip_family_policy is IPFamilyPolicy.REQUIRE_DUAL_STACK and there == ONE:
            what = f"Service {key(service)}: ipFamilyPolicy RequireDualStack needs IPv4 and IPv6"
            problems.append(f"{what}, but {why}")
        elif IPFamily.V6 in service.ip_families and there == ONE:
            problems.append(f"Service {key(service)}: it asks for IPv6, but {why}")
    return {key(service): _of_service(service, there) for service in services}


def _of_service(service: Service, there: tuple[IPFamily, ...]) -> tuple[IPFamily, ...]:
    asked = service.ip_families or ONE
    if service.ip_family_policy is IPFamilyPolicy.SINGLE_STACK:
        return asked
    return asked + tuple(each for each in there if each not in asked)


def range_of(pod_range: str) -> str:
    """The IPv6 range of a node's pods, from its IPv4 one: ``10.244.3.0/24`` → ``fd00:10:244:3::/64``."""
    first = int(CLUSTER_RANGE6.network_address) + (IPv4Address(pod_range.partition("/")[0]).packed[2] << 64)
    return f"{IPv6Address(first)}/64"


def address_of(address: str, pod_range6: str) -> str:
    """The IPv6 address that goes with an IPv4 one of a node's pods: ``10.244.3.7`` → ``fd00:10:244:3::7``."""
    return str(IPv6Network(pod_range6)[IPv4Address(address).packed[3]])


def gateway6(pod_range6: str) -> str:
    """The pods' gateway: the first host of the range, such as ``fd00:10:244:3::1``."""
    return str(IPv6Network(pod_range6)[1])


def fault(node: Node) -> str:
    """What is wrong with a node's IPv6 address; empty when nothing is, or it has none."""
    if not node.address6:
        return ""
    try:
        address = IPv6Address(str(parsed(node.address6)))
    except ValueError:
        return f"node {node.name}: {node.address6!r} is not an IPv6 address (nodeport_address6)"
    if address.is_link_local or address.is_loopback or address.is_multicast or address.ipv4_mapped:
        return f"node {node.name}: {address} cannot serve nodePorts (give a global or unique local IPv6 address)"
    taken = next((each for each in (CLUSTER_RANGE6, SERVICE_RANGE6) if address in each), None)
    return f"node {node.name}: its address {address} lies in {taken}, which is ours (give another)" if taken else ""
