"""A plan of two families of addresses as two plans of one, so that every promise is looked at in each of them. Pure.

The half of IPv6 has the IPv6 addresses where the other has those of IPv4; all else is the same. So cells, statistics
and causes need not know of families, and one that is broken spoils nothing of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.model.address import IPFamily, family
from harness.model.observation import OUTSIDE, NodeFacts, Target
from harness.model.plan import Plan, PlannedNode, PlannedPod, PlannedService
from harness.model.verdict import Verdict
from harness.plan.promises import has
from harness.verdicts.expectations import Cell, CellKey, Depth


@dataclass(frozen=True, slots=True)
class Half:
    """What a plan says of one family."""

    family: IPFamily
    plan: Plan

    def kept(self, cells: Iterable[Cell]) -> tuple[Cell, ...]:
        """The cells of nodes whose forwarder has this family at all."""
        if self.family is IPFamily.V4:
            return tuple(cells)
        able = {node.name for node in self.plan.nodes if has(node, "ipv6")}
        return tuple(cell for cell in cells if cell.node in able)

    def told(self, verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
        """Verdicts on this half, their names with the family."""
        suffix = "" if self.family is IPFamily.V4 else f" ({self.family})"
        return tuple(replace(verdict, subject=verdict.subject + suffix) for verdict in verdicts)


def halves(plan: Plan) -> Sequence[Half]:
    """The halves of a plan; of one that has IPv4 alone it is the plan itself."""
    if len(plan.families) == 1:
        return (Half(IPFamily.V4, plan),)
    return Half(IPFamily.V4, four(plan)), Half(IPFamily.V6, six(plan))


def four(plan: Plan) -> Plan:
    """What a plan says of IPv4."""
    return replace(plan, services=_services(plan, IPFamily.V4))


def six(plan: Plan) -> Plan:
    """What a plan says of IPv6, in the fields of IPv4."""
    return replace(
        plan,
        nodes=tuple(_node(node) for node in plan.nodes),
        pods=tuple(_pod(pod) for pod in plan.pods),
        services=_services(plan, IPFamily.V6),
    )


def closed(plan: Plan) -> tuple[Cell, ...]:
    """A Service of one family does not answer in the other, on any node: asked from outside."""
    if len(plan.families) == 1:
        return ()
    return tuple(
        Cell(CellKey(OUTSIDE, target), service.key, port.port, Depth.CLOSED, ())
        for service in plan.forwarded
        for port in service.ports
        if port.node_port is not None and len(service.ip_families) == 1
        for node in plan.nodes
        for address in [node.address if service.ip_families == (IPFamily.V6,) else node.address6]
        for target in [Target(node.name, address, port.node_port, port.protocol)]
    )


def facts_of(facts: NodeFacts, one: IPFamily) -> NodeFacts:
    """What a node says of itself as far as it concerns one family."""
    unready = tuple(each for each in facts.unready if each.family is one)
    if one is IPFamily.V4 or facts.six is None:
        return replace(facts, unready=unready)
    told = facts.six
    return replace(
        facts,
        unready=unready,
        table_present=told.table_present,
        masquerade_present=told.masquerade_present,
        ip_forward=told.forwards,
        missing_routes=told.missing_routes,
        foreign_drops=tuple(each for each in facts.foreign_drops if not each.startswith("ip ")),
    )


def _node(node: PlannedNode) -> PlannedNode:
    return replace(node, address=node.address6, pod_range=node.pod_range6, other_addresses=(), nodeport_addresses=())


def _pod(pod: PlannedPod) -> PlannedPod:
    return replace(pod, address=pod.address6)


def _services(plan: Plan, one: IPFamily) -> tuple[PlannedService, ...]:
    return tuple(_service(service, one) for service in plan.services if one in service.ip_families)


def _service(service: PlannedService, one: IPFamily) -> PlannedService:
    nobody = "127.0.0.1/32" if one is IPFamily.V4 else "::1/128"
    allowed = tuple(each for each in service.allowed_sources if family(each) is one)
    ports = tuple(
        replace(port, endpoints=tuple(end for end in port.endpoints if family(end.address) is one))
        for port in service.ports
    )
    return replace(
        service,
        ports=ports,
        cluster_addresses=tuple(each for each in service.cluster_addresses if family(each) is one),
        external_addresses=tuple(each for each in service.external_addresses if family(each) is one),
        allowed_sources=(allowed or (nobody,)) if service.allowed_sources else (),
        ip_families=(one,),
    )
