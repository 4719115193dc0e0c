"""What is wrong on somebody else's machines: endpoint or forwarder, told by direct probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.cluster import Node
from harness.model.expectation import Expectation, PromisedEndpoint, PromisedPort, PromisedService
from harness.model.observation import OUTSIDE, Ask, Attempt, Outcome, Target
from harness.model.verdict import Diagnosis
from harness.model.workload import Protocol
from harness.verdicts import Cell, CellKey, Counts, Tallies, Tally, controls, diagnose_promised, judge, promised

ASK = Ask(request="/who")
NODES = (Node("n1", "10.0.0.1"), Node("n2", "10.0.0.2"))
ENDS = (PromisedEndpoint("a", "web-a", "10.1.0.1", 8080), PromisedEndpoint("b", "web-b", "10.1.0.2", 8080))
WEB = PromisedService("default", "web", (PromisedPort(30080, Protocol.TCP, 80, ASK, ENDS),))
CELLS = promised(Expectation((WEB,)), NODES, (OUTSIDE, "n1", "n2"), {})
WELL = Counts(400, {"default/a": 200, "default/b": 200})
NO_B = Counts(400, {"default/a": 400})
REFUSED = Counts(40, failures={Outcome.REFUSED: 40})


def tallies(odd: Mapping[str, Counts]) -> Tallies:
    """What was seen of every cell: by the node asked, else all well; both stages alike."""
    found: dict[CellKey, Tally] = {}
    for cell in CELLS:
        counts = odd.get(cell.node, WELL)
        found[cell.key] = Tally(counts, counts)
    return Tallies(found)


def direct(end: int, vantage: str, outcome: Outcome = Outcome.OK) -> Attempt:
    target = Target("", ENDS[end].address, 8080, Protocol.TCP)
    return Attempt(vantage, target, outcome, 1, responder=ENDS[end].answers if outcome is Outcome.OK else "")


def told(odd: Mapping[str, Counts], directs: Sequence[Attempt] = ()) -> tuple[Diagnosis, ...]:
    seen = tallies(odd)
    return diagnose_promised(CELLS, seen, judge(CELLS, seen), directs)


def short(found: Sequence[Diagnosis]) -> list[tuple[str, str, str]]:
    return [(each.cause, each.node, each.pod) for each in found]


def test_nothing_is_said_where_nothing_failed() -> None:
    assert told({}) == ()


def test_endpoints_are_asked_directly_in_their_own_way_where_their_address_is_known() -> None:
    jobs = controls(CELLS, tallies({"n1": NO_B}))
    assert {(job.vantage, job.target.address, job.ask) for job in jobs} == {
        (vantage, end.address, ASK) for vantage in ("n1", "n2") for end in ENDS
    }
    unknown = WEB.ports[0].endpoints[0]
    nowhere = PromisedEndpoint(unknown.name, unknown.answers)
    port = PromisedPort(30080, Protocol.TCP, 80, ASK, (nowhere, ENDS[1]))
    cells: tuple[Cell, ...] = promised(
        Expectation((PromisedService("default", "web", (port,)),)), NODES, (OUTSIDE, "n1"), {}
    )
    sick = Tallies({cell.key: Tally(NO_B, NO_B) for cell in cells})
    assert [job.target.address for job in controls(cells, sick)] == ["10.1.0.2"]


def test_an_endpoint_that_refuses_everybody_is_at_fault_itself() -> None:
    directs = [direct(0, "n1"), direct(0, "n2"), *(direct(1, node, Outcome.REFUSED) for node in ("n1", "n2"))]
    [found] = told({"n1": NO_B, "n2": NO_B}, directs)
    assert (found.cause, found.node, found.pod) == ("endpoint-at-fault", "", "default/b")
    assert "10.1.0.2:8080, from n1, n2, it refuses" in found.text


def test_an_endpoint_that_is_well_is_left_out_by_the_node() -> None:
    directs = [direct(end, node) for end in (0, 1) for node in ("n1", "n2")]
    assert short(told({"n1": NO_B}, directs)) == [("endpoint-left-out", "n1", "default/b")]
    assert short(told({"n1": NO_B})) == [("endpoint-left-out", "n1", "default/b")], "the same without direct probes"


def test_a_node_that_does_not_get_through_is_told_from_one_that_leaves_out() -> None:
    directs = [direct(0, "n1"), direct(0, "n2"), direct(1, "n1", Outcome.TIMEOUT), direct(1, "n2")]
    assert short(told({"n1": NO_B}, directs)) == [("endpoint-out-of-reach", "n1", "default/b")]


def test_a_node_that_answers_nobody() -> None:
    [found] = told({"n2": REFUSED}, [direct(end, node) for end in (0, 1) for node in ("n1", "n2")])
    assert (found.cause, found.node) == ("node-silent", "n2")
    assert "from outside, n1, n2 nothing is answered" in found.text
    assert "refused" in found.text


def test_a_wrong_weight_and_a_stranger() -> None:
    double = Counts(900, {"default/a": 600, "default/b": 300})
    assert short(told({"n2": double})) == [("endpoint-weight", "n2", "default/a")]
    stranger = Counts(400, {"default/a": 100, "default/b": 100}, {"web-z": 200})
    [found] = told({"n1": stranger})
    assert (found.cause, found.node, "web-z" in found.title) == ("misrouted", "n1", True)
