"""The cells of somebody else's machines: every nodePort that they promise, of every machine, from every vantage point.

They are judged by the rules of our own (``expectations``), with these differences:

- who answers is told by an answer of the user's choice, and there is no uid;
- shares may be weighted, and picks may be promised in turn (``turns``);
- an endpoint of weight 0 must not answer, so it counts as a stranger;
- whether endpoints see the client's own address, and whether a node answers itself on loopback, is looked at where
  it is promised, one way or the other. What a node sees of itself is not looked at: no rule is the usual one there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.address import IPFamily
from harness.model.cluster import Node
from harness.model.expectation import (
    Expectation,
    Localhost,
    Picks,
    PromisedEndpoint,
    PromisedPort,
    PromisedService,
    SourceIP,
)
from harness.model.observation import OUTSIDE, Target
from harness.verdicts.expectations import Approach, Cell, CellKey, Depth, Expected

LOCALHOST = {IPFamily.V4: "127.0.0.1", IPFamily.V6: "::1"}


def promised(
    expectation: Expectation,
    nodes: Sequence[Node],
    vantages: Sequence[str],
    addresses: Mapping[IPFamily, Mapping[str, str]],
) -> tuple[Cell, ...]:
    """All cells, in the order of Services; ``addresses`` says from where packets of a vantage point come, if known.

    It has a mapping for each family. A node without an IPv6 address is not asked there.
    """
    cells: list[Cell] = []
    for service in expectation.services:
        for family in service.families:
            there = {node.name: node.address if family is IPFamily.V4 else node.address6 for node in nodes}
            known = there | dict(addresses.get(family, {}))
            for port in [each.of(family) for each in service.ports]:
                for node, address in there.items():
                    ways = [Approach(vantage, known.get(vantage, ""), address) for vantage in vantages if address]
                    cells += [_cell(service, port, node, way) for way in ways]
                    if service.localhost is not Localhost.ANY and node in vantages and address:
                        itself = LOCALHOST[family]
                        cells.append(_to_itself(service, port, node, Approach(node, itself, itself)))
    return tuple(cells)


def _cell(service: PromisedService, port: PromisedPort, node: str, way: Approach) -> Cell:
    external = way.vantage != node
    wanted = [end for end in port.endpoints if end.weight]
    served = [end for end in wanted if not (external and service.local) or end.node == node]
    if not wanted:
        depth = Depth.REFUSED
    elif not served:
        depth = Depth.SILENT
    elif service.sticky:
        depth = Depth.STICKY
    else:
        depth = Depth.SPREAD if way.vantage in (OUTSIDE, node) else Depth.COVERAGE
    kept = service.source_ip is SourceIP.KEPT or service.local
    judged = external and bool(served) and port.ask.client is not None
    return _made(
        service, port, node, way, depth, served,
        source=way.source if judged and kept else "",
        hides=way.source if judged and service.source_ip is SourceIP.HIDDEN else "",
    )  # fmt: skip


def _to_itself(service: PromisedService, port: PromisedPort, node: str, way: Approach) -> Cell:
    if service.localhost is Localhost.CLOSED or not port.endpoints:
        return _made(service, port, node, way, Depth.CLOSED, [])
    depth = Depth.STICKY if service.sticky else Depth.COVERAGE
    return _made(service, port, node, way, depth, [end for end in port.endpoints if end.weight])


def _made(
    service: PromisedService,
    port: PromisedPort,
    node: str,
    way: Approach,
    depth: Depth,
    served: Sequence[PromisedEndpoint],
    *,
    source: str = "",
    hides: str = "",
) -> Cell:
    key = CellKey(way.vantage, Target(node, way.address, port.node_port, port.protocol))
    endpoints = tuple(
        Expected(f"{service.namespace}/{end.name}", end.answers, "", end.node, end.address, end.port) for end in served
    )
    weights = tuple(end.weight for end in served) if service.picks is Picks.WEIGHTS else ()
    return Cell(
        key, service.key, port.port, depth, endpoints, source, hides, weights, port.ask,
        at=way.address if way.address in LOCALHOST.values() else "",
        in_turn=service.picks is Picks.ROUND_ROBIN and depth in (Depth.SPREAD, Depth.COVERAGE),
    )  # fmt: skip
