"""What Services ask for and forwarders of nodes cannot do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.address import IPFamily
from harness.model.forwarder import FORWARDERS
from harness.model.plan import Note, Plan, PlannedNode, PlannedService
from harness.model.workload import Protocol, TrafficPolicy
from harness.plan.words import first_few


@dataclass(frozen=True, slots=True)
class Unkept:
    """A feature that one Service needs and one node has not; ``why`` is what happens instead."""

    service: str
    node: PlannedNode
    feature: str
    why: str


def needed(service: PlannedService) -> Iterator[str]:
    """The features that a Service with a nodePort needs of the forwarder."""
    if service.cluster_addresses and service.internal_traffic_policy is TrafficPolicy.LOCAL:
        yield "internal-policy"
    if service.external_addresses:
        yield "external-addresses"
    if service.affinity_seconds:
        yield "affinity"
    if IPFamily.V6 in service.ip_families:
        yield "ipv6"
    if service.external_traffic_policy is TrafficPolicy.LOCAL:
        yield "client-address"
    if service.allowed_sources:
        yield "allowed-sources"
    if any(port.protocol is Protocol.UDP for port in service.ports):
        yield "udp"


def has(node: PlannedNode, feature: str) -> bool:
    """Whether the forwarder of this node keeps the promise."""
    return feature in FORWARDERS[node.backend].features


def unkept(plan: Plan) -> Iterator[Unkept]:
    """What of a plan nodes cannot do, in its order."""
    for service in plan.forwarded:
        if any(port.node_port is not None for port in service.ports):
            for feature in needed(service):
                for node in plan.nodes:
                    if not has(node, feature):
                        yield Unkept(service.key, node, feature, FORWARDERS[node.backend].lacks[feature])


def notes(plan: Plan) -> tuple[Note, ...]:
    """The same for a person, a note for each Service, feature and forwarder."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for each in unkept(plan):
        found.setdefault((each.service, each.feature, each.node.backend, each.why), []).append(each.node.name)
    return tuple(
        Note(f"Service {service}", f"forwarder {backend} of {first_few(names)} has no {feature}: {why}")
        for (service, feature, backend, why), names in found.items()
    )
