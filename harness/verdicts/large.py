"""Whether large requests and answers get through: what small ones prove says nothing of packets that fill a link. Pure.

A link on the way that takes less than its neighbours think (a tunnel, say), with the ICMP that would tell dropped,
loses full packets alone: connections come about and then hang (RFC 4459, 2923). Asked is from outside to every node,
and from every node to the next, with more than any usual packet holds, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.model.observation import OUTSIDE, Ask, Find, Place, Target
from harness.model.plan import Plan, PlannedPort, PlannedService, serving
from harness.model.workload import Protocol, TrafficPolicy
from harness.verdicts.expectations import Cell, CellKey, Depth, Way, expected

SIZE = 6000
"""Bytes of a request and of its answer: several packets, and fewer than the head of a request may have."""

ASK = Ask(
    request=f"/echo?msg={'x' * SIZE}",
    name=Place(Find.HEADER, "Nodeport-Pod"),
    client=Place(Find.HEADER, "Nodeport-Client"),
)

MOST = 60
"""Cells, of all Services together: which Service is asked is no matter to a link."""


def large(plan: Plan) -> tuple[Cell, ...]:
    """The cells, evenly over Services: those of TCP that lead everybody to all pods."""
    found = [
        cell
        for service in plan.forwarded
        if _is_plain(service)
        for port in service.ports
        if port.protocol is Protocol.TCP and port.node_port is not None and port.endpoints
        for cell in _of_port(plan, service, port)
    ]
    return tuple(found[number * len(found) // MOST] for number in range(MOST)) if len(found) > MOST else tuple(found)


def _is_plain(service: PlannedService) -> bool:
    local = service.external_traffic_policy is TrafficPolicy.LOCAL
    return not (local or service.affinity_seconds or service.allowed_sources)


def _of_port(plan: Plan, service: PlannedService, port: PlannedPort) -> Iterator[Cell]:
    pods = {pod.address: pod for pod in plan.pods}
    if any(end.address not in pods for end in port.endpoints):
        return
    # A foreign server's answers carry no uid, and it is as one that these are read: the name is enough here.
    served = serving(port.endpoints)
    ends = tuple(replace(expected(end, pods[end.address], port.protocol), uid="") for end in served)
    for number, node in enumerate(plan.nodes):
        if node.address not in node.serving:
            continue  # that others reach the addresses at which it serves is promised by nobody
        before = plan.nodes[number - 1]
        for vantage in (OUTSIDE, before.name) if before != node else (OUTSIDE,):
            target = Target(node.name, node.address, port.node_port or 0, port.protocol, SIZE)
            home = "" if vantage == OUTSIDE else vantage
            key = CellKey(vantage, target)
            yield Cell(key, service.key, port.port, Depth.COVERAGE, ends, ask=ASK, home=home, way=Way.LARGE)
