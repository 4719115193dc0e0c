"""Which cells there are, how much is asked of each and when asking stops, and what one sample may not say alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from harness import verdicts
from harness.model.observation import OUTSIDE, Attempt, Outcome, Strain, Target
from harness.model.plan import Endpoint, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService
from harness.model.verdict import Status
from harness.model.workload import Protocol, ServiceType
from harness.verdicts import Cell, CellKey, Counts, Depth, Expected, Need, Tallies, Tally
from harness.verdicts.stages import ENOUGH_FAILURES, REFUSALS, SCOUT
from harness.verdicts.tally import count

TARGET = Target("n1", "192.168.56.11", 30008, Protocol.TCP)
PODS = tuple(Expected(f"default/p{i}", f"p{i}", f"u{i}", "n1", f"10.0.0.{i}", 80) for i in range(3))


def cell_of(pods: int = 3, depth: Depth = Depth.SPREAD, vantage: str = OUTSIDE, target: Target = TARGET) -> Cell:
    return Cell(CellKey(vantage, target), "default/web", 80, depth, PODS[:pods])


def tallied(cell: Cell, first: Counts, second: Counts | None = None) -> Tallies:
    return Tallies({cell.key: Tally(first, second)})


def answered(*hits: int, **more: int) -> Counts:
    failures = {Outcome[name.upper()]: times for name, times in more.items() if name not in ("late", "slow")}
    answers = {pod.pod: times for pod, times in zip(PODS, hits, strict=False) if times}
    return Counts(
        sum(hits) + sum(failures.values()), answers, {}, failures, more.get("late", 0), slow=more.get("slow", 0)
    )


def only(cell: Cell, tallies: Tallies) -> Need:
    (need,) = verdicts.next_round([cell], tallies)
    return need


def statuses(cell: Cell, tallies: Tallies) -> Mapping[str, Status]:
    return {verdict.check: verdict.status for verdict in verdicts.judge([cell], tallies)}


def plan_of(protocol: Protocol) -> Plan:
    nodes = tuple(PlannedNode(f"n{i}", f"192.168.56.{i}", f"10.244.{i}.0/24") for i in (1, 2))
    pod = PlannedPod("default", "p0", "u0", "n1", "10.244.1.2", {}, (), ())
    port = PlannedPort("", protocol, 80, 80, 30008, (Endpoint(pod.key, "n1", "10.244.1.2", 80),))
    inner = replace(port, node_port=None)
    return Plan(
        "lab", 1, nodes, (pod,),
        (
            PlannedService("default", "web", ServiceType.NODE_PORT, {"a": "b"}, (port,)),
            PlannedService("default", "inner", ServiceType.CLUSTER_IP, {"a": "b"}, (inner,)),
            PlannedService("default", "nobody", ServiceType.NODE_PORT, {"a": "c"},
                           (replace(port, node_port=30009, endpoints=()),), "no pod has a=c"),
        ),
    )  # fmt: skip


def test_cells_and_their_depth() -> None:
    cells = verdicts.expectations(plan_of(Protocol.TCP), (OUTSIDE, "n1", "n2"))
    depths = {(cell.vantage, cell.node): cell.depth for cell in cells if cell.service == "default/web"}
    assert depths == {
        (OUTSIDE, "n1"): Depth.SPREAD, (OUTSIDE, "n2"): Depth.SPREAD,
        ("n1", "n1"): Depth.SPREAD, ("n2", "n2"): Depth.SPREAD,
        ("n1", "n2"): Depth.COVERAGE, ("n2", "n1"): Depth.COVERAGE,
    }  # fmt: skip
    assert {cell.depth for cell in cells if cell.service == "default/nobody"} == {Depth.REFUSED}
    assert len(cells) == 12
    assert cells[0].endpoints[0].uid == "u0"
    assert str(cells[0]) == "outside → n1, default/web 80 on 30008/TCP"


def test_shares_are_judged_in_every_place_where_endpoints_are_picked() -> None:
    """A forwarder that accepts connections itself has one such place for all who connect."""
    plan = plan_of(Protocol.TCP)
    mixed = replace(plan, nodes=(replace(plan.nodes[0], backend="socat"), plan.nodes[1]))
    cells = verdicts.expectations(mixed, (OUTSIDE, "n1", "n2"))
    spread = {(each.vantage, each.node) for each in cells if each.depth is Depth.SPREAD}
    assert spread == {(OUTSIDE, "n1"), (OUTSIDE, "n2"), ("n2", "n2")}


def test_udp_answers_carry_no_uid() -> None:
    cells = verdicts.expectations(plan_of(Protocol.UDP), (OUTSIDE,))
    assert cells[0].endpoints[0].uid == ""


def test_a_selector_without_pods_fails_with_its_explanation() -> None:
    found = {
        verdict.service: (verdict.status, verdict.summary) for verdict in verdicts.judge_plan(plan_of(Protocol.TCP))
    }
    assert found == {
        "default/web": (Status.PASS, "1 pod behind it"),
        "default/nobody": (Status.FAIL, "no pod has a=c"),
    }


def test_the_first_round_only_scouts() -> None:
    assert only(cell_of(), Tallies()) == Need(cell_of(), SCOUT)
    assert only(cell_of(0, Depth.REFUSED), Tallies()).attempts == REFUSALS


@pytest.mark.parametrize("vantage", [OUTSIDE, "n2"])
def test_a_dead_cell_is_asked_twice_and_no_more(vantage: str) -> None:
    cell = cell_of(vantage=vantage)
    dead = answered(timeout=SCOUT)
    assert only(cell, tallied(cell, dead)) == Need(cell, SCOUT, confirming=True)
    assert verdicts.next_round([cell], tallied(cell, dead, dead)) == ()
    assert statuses(cell, tallied(cell, dead, dead))["answers"] is Status.FAIL


def test_failures_are_asked_again_in_proportion_to_how_rare_they_are() -> None:
    often, rare = answered(5, 5, 0, timeout=10), answered(100, 100, 50, late=1)
    assert only(cell_of(), tallied(cell_of(), often)).attempts <= 2 * ENOUGH_FAILURES
    assert only(cell_of(), tallied(cell_of(), rare)).attempts > 1500


def test_enough_failures_end_it() -> None:
    rare = answered(100, 100, 50, late=1)
    tallies = tallied(cell_of(), rare, answered(100, 100, 50, timeout=ENOUGH_FAILURES))
    assert only(cell_of(), tallied(cell_of(), rare, answered(100, 100, 50, timeout=1))).confirming
    assert verdicts.next_round([cell_of()], tallies) == ()


def test_a_failure_that_does_not_come_again_is_transient() -> None:
    first, second = answered(7, 6, 6, timeout=1), answered(400, 400, 400)
    found = statuses(cell_of(), tallied(cell_of(), first, second))
    others = dict.fromkeys(("responders", "coverage", "spread"), Status.PASS)
    assert found == {"answers": Status.INCONCLUSIVE, **others}
    assert verdicts.next_round([cell_of()], tallied(cell_of(), first, second)) == ()


def test_late_is_a_failure_but_not_when_the_prober_was_held_up() -> None:
    slow = Attempt(OUTSIDE, TARGET, Outcome.OK, 1, 1003.0, 1004.0, "p0", "u0", "192.168.56.1:1")
    quick = replace(slow, connect_ms=899.0)
    assert [count([each], PODS).late for each in (slow, quick, replace(slow, stalled=True))] == [1, 0, 0]
    gone = Attempt(OUTSIDE, TARGET, Outcome.TIMEOUT, 1)
    assert count([gone], PODS).failed == 1
    held_up = count([replace(gone, stalled=True)], PODS)
    assert (held_up.failed, held_up.set_aside, held_up.n) == (0, 1, 0)
    refused = count([Attempt(OUTSIDE, TARGET, Outcome.REFUSED, 1, stalled=True)], PODS)
    assert refused.failed == 1


def test_a_right_name_with_another_uid_is_a_stranger() -> None:
    stale = Attempt(OUTSIDE, TARGET, Outcome.OK, 1, 1.0, 2.0, "p0", "old")
    nameless = replace(stale, responder="", uid="")
    assert count([stale, nameless], PODS).wrong == {"p0 (uid old)": 1, "(nameless)": 1}
    assert count([stale], [replace(PODS[0], uid="")]).answers == {"default/p0": 1}


@pytest.mark.parametrize("depth", Depth)
def test_a_prober_that_is_always_held_up_ends_inconclusive(depth: Depth) -> None:
    cell, tallies = cell_of(depth=depth), Tallies()
    held_up = Attempt(OUTSIDE, TARGET, Outcome.TIMEOUT, 1, stalled=True)
    for _ in range(500):
        needs = verdicts.next_round([cell], tallies)
        if not needs:
            break
        tallies = verdicts.add(tallies, needs, [held_up] * needs[0].attempts)
    assert verdicts.next_round([cell], tallies) == ()
    assert set(statuses(cell, tallies).values()) == {Status.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("depth", "outcome"),
    [(Depth.SILENT, Outcome.TIMEOUT), (Depth.CLOSED, Outcome.TIMEOUT), (Depth.REFUSED, Outcome.REFUSED)],
)
def test_a_prober_that_was_held_up_for_a_moment_asks_again(depth: Depth, outcome: Outcome) -> None:
    cell, tallies = cell_of(depth=depth), Tallies()
    held_up = Attempt(OUTSIDE, TARGET, Outcome.TIMEOUT, 1, stalled=True)
    for come in (held_up, held_up, replace(held_up, outcome=outcome, stalled=False)):
        (need,) = verdicts.next_round([cell], tallies)
        tallies = verdicts.add(tallies, [need], [come] * need.attempts)
    assert verdicts.next_round([cell], tallies) == ()
    assert set(statuses(cell, tallies).values()) == {Status.PASS}


def test_attempts_that_never_come_back_do_not_go_on_for_ever() -> None:
    cell, tallies, rounds = cell_of(), Tallies(), 0
    while needs := verdicts.next_round([cell], tallies):
        tallies, rounds = verdicts.add(tallies, needs, []), rounds + 1
    assert rounds < 200


def test_a_lost_vantage_is_one_error_and_asked_no_more() -> None:
    cells = [cell_of(vantage="n2"), cell_of(vantage="n2", target=replace(TARGET, port=30009))]
    needs = verdicts.next_round(cells, Tallies())
    tallies = verdicts.add(Tallies(), needs, [], {"n2": "connection timed out"})
    assert verdicts.next_round(cells, tallies) == ()
    (verdict,) = verdicts.judge(cells, tallies)
    assert (verdict.status, verdict.node) == (Status.ERROR, "n2")
    assert verdict.summary == "2 cells could not be asked from here: connection timed out"


def test_a_silent_pod_is_looked_for_twice() -> None:
    cell = cell_of(depth=Depth.COVERAGE)
    first = answered(40, 40)
    assert only(cell, tallied(cell, first)).confirming
    found = statuses(cell, tallied(cell, first, answered(40, 40)))
    assert found["coverage"] is Status.FAIL
    assert statuses(cell, tallied(cell, first, answered(10, 10, 5)))["coverage"] is Status.INCONCLUSIVE


def test_a_skew_must_show_twice() -> None:
    skewed, fair, cell = answered(400, 200, 200), answered(300, 300, 300), cell_of()
    assert only(cell, tallied(cell, skewed)).confirming
    (verdict,) = [v for v in verdicts.judge([cell], tallied(cell, skewed, skewed)) if v.check == "spread"]
    assert verdict.status is Status.FAIL
    assert (verdict.evidence["suspect"], verdict.evidence["alternative"]) == ("default/p0", "double weight")
    assert statuses(cell, tallied(cell, skewed, fair))["spread"] is Status.INCONCLUSIVE


def test_refusals_are_judged_as_a_set() -> None:
    cell = cell_of(0, Depth.REFUSED)
    assert statuses(cell, tallied(cell, answered(refused=1, timeout=5)))["refused"] is Status.PASS
    silence = answered(timeout=6)
    assert only(cell, tallied(cell, silence)).confirming
    assert statuses(cell, tallied(cell, silence, silence))["refused"] is Status.FAIL
    assert statuses(cell, tallied(cell, silence, answered(refused=6)))["refused"] is Status.PASS


def test_udp_refusals_are_asked_one_by_one() -> None:
    targets = [replace(TARGET, port=port, protocol=Protocol.UDP) for port in (30001, 30002)]
    cells = [cell_of(0, Depth.REFUSED, target=target) for target in targets]
    assert len(verdicts.next_round(cells, Tallies())) == 1
    tcp = [replace(cell, key=CellKey(OUTSIDE, replace(cell.key.target, protocol=Protocol.TCP))) for cell in cells]
    assert len(verdicts.next_round(tcp, Tallies())) == 2


def test_one_pod_needs_no_test_of_shares() -> None:
    cell = cell_of(1)
    assert only(cell, tallied(cell, answered(20))).attempts == 20
    assert verdicts.next_round([cell], tallied(cell, answered(40))) == ()
    assert statuses(cell, tallied(cell, answered(40))) == dict.fromkeys(
        ("answers", "responders", "coverage"), Status.PASS
    )


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_power_of_both_stages_together(weight: float) -> None:
    rng, cell = random.Random(11), cell_of()  # noqa: S311 - repeatable on purpose
    for _ in range(200):
        tallies = Tallies()
        while needs := verdicts.next_round([cell], tallies):
            picks = rng.choices(PODS, [weight, 1, 1], k=needs[0].attempts)
            made = [Attempt(OUTSIDE, TARGET, Outcome.OK, 1, 1.0, 1.0, pod.hostname, pod.uid) for pod in picks]
            tallies = verdicts.add(tallies, needs, made)
        assert statuses(cell, tallies)["spread"] is Status.FAIL


def test_shares_for_reports() -> None:
    cell = cell_of()
    counts = replace(answered(2, 1, 0, timeout=1), wrong={"old": 1}, connect_ms=(3.0, 1.0, 2.0, 4.0))
    (share,) = verdicts.shares([cell, cell_of(vantage="n9")], tallied(cell, counts))
    assert share.counts == {"default/p0": 2, "default/p1": 1, "default/p2": 0, "old": 1}
    assert (share.attempts, share.failures) == (5, {"timeout": 1})
    assert (share.connect_ms_p50, share.connect_ms_p99) == (2.0, 4.0)


def test_verdicts_are_plain_json() -> None:
    import msgspec

    cell = cell_of()
    for verdict in verdicts.judge([cell], tallied(cell, answered(100, 100, 100)), seed=5):
        assert msgspec.json.decode(msgspec.json.encode(verdict))["evidence"]["seed"] == 5


STARVED = {"n1": Strain(pressure=0.8)}
SLOW = answered(400, 400, 400, late=3, slow=3)


@pytest.mark.parametrize(
    ("counts", "strains", "wanted"),
    [
        (SLOW, STARVED, Status.INCONCLUSIVE),
        (SLOW, {OUTSIDE: Strain(pressure=0.1, stalls=2)}, Status.INCONCLUSIVE),
        (SLOW, {"n1": Strain(pressure=0.4)}, Status.FAIL),
        (SLOW, {"n9": Strain(pressure=0.9, stalls=5)}, Status.FAIL),
        (SLOW, {}, Status.FAIL),
        (answered(400, 400, 400, late=3, slow=2), STARVED, Status.FAIL),
        (answered(400, 400, 400, late=3, slow=3, timeout=1), STARVED, Status.FAIL),
        (answered(4, 4, 4, late=11, slow=11), STARVED, Status.FAIL),
    ],
    ids=["starved", "held up", "busy", "another machine", "nothing told", "a lost SYN", "no answer", "all slow"],
)
def test_slow_connects_of_starved_machines_are_no_failure_but_lost_syns_are(
    counts: Counts, strains: dict[str, Strain], wanted: Status
) -> None:
    cell = cell_of(vantage="n1")
    tallies = Tallies({cell.key: Tally(counts, counts)}, strains=strains)
    (answers,) = (verdict for verdict in verdicts.judge([cell], tallies) if verdict.check == "answers")
    assert answers.status is wanted, answers.summary
    assert ("lack of CPU" in answers.summary) == (wanted is Status.INCONCLUSIVE)


def test_a_connect_is_slow_when_its_round_trip_is_as_long() -> None:
    late = Attempt(OUTSIDE, TARGET, Outcome.OK, 1, 1203.0, 1204.0, "p0", "u0", "192.168.56.1:1")
    trips = {1201.0: 1, 310.0: 1, 2.0: 0, None: 0}
    assert {trip: count([replace(late, round_trip_ms=trip)], PODS).slow for trip in trips} == trips
    assert count([replace(late, round_trip_ms=1201.0, stalled=True)], PODS).slow == 0


def test_the_worst_strain_of_all_rounds_is_kept() -> None:
    first = verdicts.add(Tallies(), [], [], strains={"n1": Strain(0.7, 1), "n2": Strain()})
    both = verdicts.add(first, [], [], strains={"n1": Strain(0.2, 3), "n2": Strain(0.1)})
    assert both.strains == {"n1": Strain(0.7, 3), "n2": Strain(0.1)}
