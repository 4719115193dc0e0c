"""Drills judged: what was lost, by whom, for how long, and who answered first and last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.drill import Scenario
from harness.model.observation import Attempt, Outcome, Target
from harness.model.verdict import Status
from harness.model.workload import Protocol
from harness.verdicts import Turnover, course, judge_drill

TARGET = Target("n1", "192.168.56.11", 30008, Protocol.TCP)
PODS = Turnover({"old": "web-old"}, {"new": "web-new"})
BEGAN = 1000.0


def attempt(at: float, uid: str = "stays", outcome: Outcome = Outcome.OK) -> Attempt:
    return Attempt("outside", TARGET, outcome, 40000, 0.2, 0.4, f"web-{uid}", uid, began=BEGAN + at)


def traffic(seconds: float = 10.0, failing: tuple[float, float] = (-1.0, -1.0)) -> list[Attempt]:
    """Ten requests a second: every other is answered by a pod that stays, the rest by the old and then the new one."""
    asked = []
    for tenth in range(int(seconds * 10)):
        at = tenth / 10
        turning = "old" if at < 3 or (at < 4 and tenth % 4) else "new"
        outcome = Outcome.REFUSED if failing[0] <= at < failing[1] else Outcome.OK
        asked.append(attempt(at, turning if tenth % 2 else "stays", outcome))
    return asked


def scenario(attempts: list[Attempt], *, planned: bool = True, ended: float = 5.0, pods: Turnover = PODS) -> Scenario:
    seen = course("n1", attempts, pods, BEGAN, 10.0)
    return Scenario("rolling-restart", "Every pod is replaced", "default/web", planned, 10.0, 10.0, ended, (), (seen,))


def statuses(found: Scenario) -> dict[str, Status]:
    return {verdict.check: verdict.status for verdict in judge_drill(found)}


def test_a_change_that_loses_nothing_passes_with_its_times() -> None:
    found = scenario(traffic())
    assert statuses(found) == {
        "drill-rolling-restart": Status.PASS,
        "drill-rolling-restart-turnover": Status.PASS,
    }
    seen = found.courses[0]
    assert seen.first_answer == {"web-new": pytest.approx(4.1)}
    assert seen.last_answer == {"web-old": pytest.approx(3.9)}
    assert (seen.attempts, seen.lost, seen.blackout) == (100, 0, 0.0)
    assert sum(slot.leaving + slot.coming + slot.staying for slot in seen.slots) == 100
    assert seen.slots[0].leaving + seen.slots[0].staying > 0
    assert seen.slots[-1].coming > 0


def test_one_lost_request_of_a_planned_change_fails_and_says_when() -> None:
    found = scenario(traffic(failing=(3.0, 3.1)))
    verdict = judge_drill(found)[0]
    assert verdict.status is Status.FAIL
    assert "1 of 100 requests failed (1 refused), from 3.00 s to 3.00 s" in verdict.summary
    assert found.courses[0].blackout == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("failing", "status"),
    [((1.0, 2.0), Status.PASS), ((1.0, 30.0), Status.FAIL)],
    ids=["noticed", "never noticed"],
)
def test_something_unplanned_may_be_lost_until_it_is_noticed(failing: tuple[float, float], status: Status) -> None:
    found = scenario(traffic(20.0, failing), planned=False, pods=Turnover({}, {}))
    assert statuses(found) == {"drill-rolling-restart": status}


def test_the_node_that_is_taken_away_has_to_come_back() -> None:
    back = replace(scenario(traffic(failing=(1.0, 8.0)), planned=False, pods=Turnover({}, {})), spared="n1")
    gone = replace(scenario(traffic(failing=(1.0, 10.0)), planned=False, pods=Turnover({}, {})), spared="n1")
    assert list(statuses(back).values()) == [Status.PASS]
    assert list(statuses(gone).values()) == [Status.FAIL]


def test_a_new_pod_that_is_never_heard_fails_and_so_does_an_old_one_that_still_answers() -> None:
    silent = scenario([each for each in traffic() if each.uid != "new"])
    assert statuses(silent)["drill-rolling-restart-turnover"] is Status.FAIL
    lingering = scenario(traffic(), ended=2.0)
    assert statuses(lingering)["drill-rolling-restart-turnover"] is Status.FAIL


def test_too_few_requests_say_nothing() -> None:
    assert statuses(scenario(traffic(3.0))) == {"drill-rolling-restart": Status.INCONCLUSIVE}


def test_a_blackout_that_lasts_to_the_end_is_counted() -> None:
    assert course("n1", traffic(failing=(6.0, 10.0)), PODS, BEGAN, 10.0).blackout == pytest.approx(4.0)
    assert course("n1", [], PODS, BEGAN, 10.0).blackout == 0.0
