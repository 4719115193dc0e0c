"""What is looked at on somebody else's machines, and how it is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from harness.model.observation import OUTSIDE, Ask, Attempt, Find, Outcome, Place
from harness.model.verdict import Status
from harness.model.workload import Protocol
from harness.verdicts import Cell, Counts, Depth, Tallies, Tally, judge, names_of, next_round, promised
from harness.verdicts.tally import count

NODES = (Node("n1", "10.0.0.1"), Node("n2", "10.0.0.2"))
CLIENT = {OUTSIDE: "10.0.0.9"}
ASK = Ask(name=Place(Find.HEADER, "X"), client=Place(Find.HEADER, "Y"))
A, B = PromisedEndpoint("a", "web-a", node="n1"), PromisedEndpoint("b", "web-b", node="n2")
WEB = PromisedService("default", "web", (PromisedPort(30080, Protocol.TCP, 80, ASK, (A, B)),))


def cells(service: PromisedService, *vantages: str) -> dict[str, Cell]:
    found = promised(Expectation((service,)), NODES, vantages or (OUTSIDE, "n1", "n2"), {IPFamily.V4: CLIENT})
    return {f"{cell.vantage} {cell.key.target.address}": cell for cell in found}


def with_endpoints(service: PromisedService, *ends: PromisedEndpoint) -> PromisedService:
    return replace(service, ports=(replace(service.ports[0], endpoints=ends),))


def depths(service: PromisedService) -> dict[str, Depth]:
    return {where: cell.depth for where, cell in cells(service).items()}


def test_every_node_is_asked_from_everywhere() -> None:
    spread, coverage = Depth.SPREAD, Depth.COVERAGE
    assert depths(WEB) == {
        "outside 10.0.0.1": spread, "n1 10.0.0.1": spread, "n2 10.0.0.1": coverage,
        "outside 10.0.0.2": spread, "n1 10.0.0.2": coverage, "n2 10.0.0.2": spread,
    }  # fmt: skip
    cell = cells(WEB)["outside 10.0.0.1"]
    assert (cell.ask, cell.source, cell.hides, cell.weights) == (ASK, "", "", ())
    assert str(cell) == "outside → n1, default/web 80 on 30080/TCP"


def test_without_ssh_only_outside_asks() -> None:
    assert list(cells(replace(WEB, localhost=Localhost.CLOSED), OUTSIDE)) == ["outside 10.0.0.1", "outside 10.0.0.2"]


@pytest.mark.parametrize(
    ("localhost", "depth"), [(Localhost.ANSWERS, Depth.COVERAGE), (Localhost.CLOSED, Depth.CLOSED)]
)
def test_localhost_is_asked_by_each_node_itself(localhost: Localhost, depth: Depth) -> None:
    every = cells(replace(WEB, localhost=localhost))
    found = {where: cell for where, cell in every.items() if "127.0.0.1" in where}
    assert {where: (cell.node, cell.depth) for where, cell in found.items()} == {
        "n1 127.0.0.1": ("n1", depth), "n2 127.0.0.1": ("n2", depth),
    }  # fmt: skip


def test_local_asks_the_nodes_own_endpoints_and_silence_elsewhere() -> None:
    local = with_endpoints(replace(WEB, local=True), A)
    assert depths(local)["outside 10.0.0.1"] is Depth.SPREAD
    assert depths(local)["outside 10.0.0.2"] is Depth.SILENT
    assert depths(local)["n2 10.0.0.2"] is Depth.SPREAD, "a node that asks itself is not external"
    assert cells(local)["outside 10.0.0.1"].source == "10.0.0.9"
    assert cells(local)["n1 10.0.0.1"].source == ""


def test_source_addresses_are_looked_at_where_something_is_promised_and_known() -> None:
    kept, hidden = cells(replace(WEB, source_ip=SourceIP.KEPT)), cells(replace(WEB, source_ip=SourceIP.HIDDEN))
    assert (kept["outside 10.0.0.1"].source, kept["n2 10.0.0.1"].source) == ("10.0.0.9", "10.0.0.2")
    assert (hidden["outside 10.0.0.1"].hides, hidden["n1 10.0.0.1"].hides) == ("10.0.0.9", "")
    assert "source: outside → n1, default/web 80 on 30080/TCP" in names_of(hidden["outside 10.0.0.1"])


def test_an_endpoint_of_weight_0_must_not_answer() -> None:
    service = with_endpoints(replace(WEB, picks=Picks.WEIGHTS), replace(A, weight=3), replace(B, weight=0))
    cell = cells(service)["outside 10.0.0.1"]
    assert ([end.hostname for end in cell.endpoints], cell.weights) == (["web-a"], (3,))
    assert depths(with_endpoints(WEB))["outside 10.0.0.1"] is Depth.REFUSED


def judged(cell: Cell, counts: Counts) -> dict[str, Status]:
    """The verdicts of two equal samples."""
    return {each.check: each.status for each in judge([cell], Tallies({cell.key: Tally(counts, counts)}))}


@pytest.mark.parametrize(
    ("sources", "kept", "hidden"),
    [
        ({"10.0.0.9": 40}, Status.PASS, Status.FAIL),
        ({"10.0.0.1": 40}, Status.FAIL, Status.PASS),
        ({}, Status.INCONCLUSIVE, Status.INCONCLUSIVE),
    ],
)
def test_what_clients_address_endpoints_see(sources: dict[str, int], kept: Status, hidden: Status) -> None:
    counts = Counts(400, {"default/a": 200, "default/b": 200}, sources=sources)
    for promise, status in ((SourceIP.KEPT, kept), (SourceIP.HIDDEN, hidden)):
        cell = cells(replace(WEB, source_ip=promise))["outside 10.0.0.1"]
        assert judged(cell, counts)["source"] is status


@pytest.mark.parametrize(
    ("failures", "wrong", "status"),
    [
        ({Outcome.REFUSED: 4}, {}, Status.PASS),
        ({Outcome.TIMEOUT: 4}, {}, Status.PASS),
        ({}, {"web-a": 4}, Status.FAIL),
        ({Outcome.REFUSED: 3, Outcome.BAD_ANSWER: 1}, {}, Status.FAIL),
        ({Outcome.HANG: 4}, {}, Status.FAIL),
    ],
)
def test_closed_is_refused_or_silent(failures: dict[Outcome, int], wrong: dict[str, int], status: Status) -> None:
    cell = cells(replace(WEB, localhost=Localhost.CLOSED))["n1 127.0.0.1"]
    counts = Counts(4, wrong=wrong, failures=failures)
    assert judged(cell, counts) == {"closed": status}
    [first] = next_round([cell], Tallies())
    assert (first.attempts, first.job.ask) == (4, ASK)
    again = next_round([cell], Tallies({cell.key: Tally(counts)}))
    assert [need.confirming for need in again] == ([] if status is Status.PASS else [True])


def test_promised_weights_are_judged_by_their_own_shares() -> None:
    service = with_endpoints(replace(WEB, picks=Picks.WEIGHTS), replace(A, weight=3), replace(B, weight=1))
    cell = cells(service)["outside 10.0.0.1"]
    assert judged(cell, Counts(1000, {"default/a": 750, "default/b": 250}))["spread"] is Status.PASS
    assert judged(cell, Counts(1000, {"default/a": 500, "default/b": 500}))["spread"] is Status.FAIL
    assert (
        judged(replace(cell, weights=()), Counts(1000, {"default/a": 750, "default/b": 250}))["spread"] is Status.FAIL
    )


def test_who_answers_is_told_by_the_answers_own_name() -> None:
    cell = cells(WEB)["outside 10.0.0.1"]
    answers = [Attempt(OUTSIDE, cell.key.target, Outcome.OK, 1, responder=name) for name in ("web-a", "web-b", "a")]
    counts = count(answers, cell.endpoints)
    assert (counts.answers, counts.wrong) == ({"default/a": 1, "default/b": 1}, {"a": 1})


def test_both_families_are_asked_at_each_nodes_own_addresses() -> None:
    nodes = tuple(replace(node, address6=f"fd00::{node.address[-1]}") for node in NODES)
    both = replace(WEB, families=(IPFamily.V4, IPFamily.V6), source_ip=SourceIP.KEPT, localhost=Localhost.CLOSED)
    client = {IPFamily.V4: CLIENT, IPFamily.V6: {OUTSIDE: "fd00::9"}}
    found = promised(Expectation((both,)), nodes, (OUTSIDE, "n1"), client)
    asked = {(cell.vantage, cell.key.target.address, cell.source) for cell in found if cell.depth is not Depth.CLOSED}
    assert {each for each in asked if ":" in each[1]} == {
        (OUTSIDE, "fd00::1", "fd00::9"),
        (OUTSIDE, "fd00::2", "fd00::9"),
        ("n1", "fd00::1", ""),
        ("n1", "fd00::2", "fd00::1"),
    }
    assert {cell.at for cell in found if cell.depth is Depth.CLOSED} == {"127.0.0.1", "::1"}


def test_nodeports_of_each_family_lead_to_its_own_endpoints() -> None:
    six = replace(A, address="fd00::5", family=IPFamily.V6)
    both = with_endpoints(replace(WEB, families=tuple(IPFamily)), replace(B, family=IPFamily.V4), six)
    nodes = tuple(replace(node, address6=f"2001:db8::{number}") for number, node in enumerate(NODES))
    found = promised(Expectation((both,)), nodes, (OUTSIDE,), {})
    assert {str(cell.family): [end.hostname for end in cell.endpoints] for cell in found} == {
        "IPv4": ["web-b"],
        "IPv6": ["web-a"],
    }
    alone = with_endpoints(replace(WEB, families=tuple(IPFamily)), replace(B, family=IPFamily.V4))
    depths = {cell.family: cell.depth for cell in promised(Expectation((alone,)), nodes, (OUTSIDE,), {})}
    assert depths == {IPFamily.V4: Depth.SPREAD, IPFamily.V6: Depth.REFUSED}
