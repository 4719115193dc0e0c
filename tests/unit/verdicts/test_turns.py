"""Dealt in turn or drawn by chance: the errors by simulation and against scipy, and every verdict once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import pytest
from scipy import stats as scipy_stats

from harness.model.observation import OUTSIDE, Attempt, Outcome, Target
from harness.model.verdict import Status, Verdict
from harness.model.workload import Protocol
from harness.verdicts import Cell, CellKey, Depth, Expected, judge_turns, out_of_turn, turns_jobs
from harness.verdicts.turns import RETURNS, limit, returns

TARGET = Target("n1", "10.0.0.1", 30080, Protocol.TCP)
MISS = 1e-3


def cell(endpoints: int = 3, *, in_turn: bool = True, depth: Depth = Depth.SPREAD) -> Cell:
    ends = tuple(Expected(f"default/s{i}", f"s{i}", "", "", "", 0) for i in range(endpoints))
    return Cell(CellKey(OUTSIDE, TARGET), "default/web", 80, depth, ends, in_turn=in_turn)


def sample(order: Iterator[int], endpoints: int = 3, outcome: Outcome = Outcome.OK) -> list[Attempt]:
    return [
        Attempt(OUTSIDE, TARGET, outcome, 40000 + i, 1.0, 2.0, f"s{pod}")
        for i, pod in enumerate(itertools.islice(order, RETURNS + endpoints))
    ]


def in_turn(endpoints: int = 3, start: int = 0) -> Iterator[int]:
    return itertools.cycle([(start + i) % endpoints for i in range(endpoints)])


def drawn(endpoints: int, rng: random.Random) -> Iterator[int]:
    return (rng.randrange(endpoints) for _ in itertools.count())


def disturbed(every: int) -> Iterator[int]:
    """In turn, while somebody else takes a turn after so many of ours."""
    turn = 0
    for i in itertools.count():
        turn += 1 + (i % every == every - 1)
        yield turn % 3


def judged(*samples: Sequence[Attempt], endpoints: int = 3) -> Verdict:
    [verdict] = judge_turns([cell(endpoints)], {cell(endpoints).key: samples})
    return verdict


@pytest.mark.parametrize("endpoints", [2, 3, 10, 40])
def test_the_limit_is_the_binomial_quantile(endpoints: int) -> None:
    assert limit(endpoints, RETURNS, MISS) == scipy_stats.binom.isf(MISS, RETURNS, 1 / endpoints) + 1


@pytest.mark.parametrize("endpoints", [2, 3, 10])
def test_returns_by_chance_are_binomial(endpoints: int) -> None:
    rng = random.Random(5)  # noqa: S311 - repeatable on purpose
    seen = [returns([str(pod) for pod in itertools.islice(drawn(endpoints, rng), RETURNS + endpoints)], endpoints)
            for _ in range(600)]  # fmt: skip
    hits = [each for each, compared in seen if compared == RETURNS]
    expected = scipy_stats.binom(RETURNS, 1 / endpoints)
    assert len(hits) == 600
    assert scipy_stats.ttest_1samp(hits, expected.mean()).pvalue > 1e-3
    assert sum(hits) / 600 == pytest.approx(expected.mean(), abs=4 * expected.std() / 600**0.5)
    within = sum(each >= limit(endpoints, RETURNS, 0.05) for each in hits)
    assert scipy_stats.binomtest(within, 600, expected.sf(limit(endpoints, RETURNS, 0.05) - 1)).pvalue > 1e-3


@pytest.mark.parametrize("start", [0, 1, 2])
def test_dealt_in_turn_passes_wherever_it_begins(start: int) -> None:
    verdict = judged(sample(in_turn(3, start)))
    assert (verdict.status, verdict.evidence["returns"], verdict.node) == (Status.PASS, RETURNS, "n1")
    assert not out_of_turn(cell(), sample(in_turn(3, start)))


@pytest.mark.parametrize("endpoints", [2, 3, 10])
def test_drawn_by_chance_fails(endpoints: int) -> None:
    rng = random.Random(11)  # noqa: S311 - repeatable on purpose
    verdicts = [
        judged(*(sample(drawn(endpoints, rng), endpoints) for _ in range(2)), endpoints=endpoints) for _ in range(300)
    ]
    assert sum(verdict.status is Status.FAIL for verdict in verdicts) >= 298
    assert "not dealt in turn" in verdicts[0].summary


def test_weighted_turns_are_not_turns() -> None:
    order = itertools.cycle([0, 1, 0, 2])
    assert judged(sample(order), sample(order)).status is Status.FAIL


def test_one_that_never_gets_a_turn_is_found() -> None:
    order = itertools.cycle([0, 1, 0])
    verdict = judged(sample(order), sample(itertools.cycle([0, 1, 0])))
    assert verdict.status is Status.INCONCLUSIVE, "coverage fails, and says it better"


def test_a_stranger_who_takes_turns_now_and_then_is_no_verdict() -> None:
    verdict = judged(sample(disturbed(20)), sample(disturbed(20)))
    assert verdict.status is Status.INCONCLUSIVE
    assert "does somebody else connect" in verdict.summary


def test_one_sample_out_of_turn_is_transient() -> None:
    verdict = judged(sample(disturbed(20)), sample(in_turn()))
    assert (verdict.status, verdict.summary[:9]) == (Status.INCONCLUSIVE, "transient")


def test_failed_attempts_break_the_order() -> None:
    broken = [*sample(in_turn())[:-1], *sample(in_turn(), outcome=Outcome.TIMEOUT)[:1]]
    assert judged(broken, broken).status is Status.INCONCLUSIVE


def test_what_another_check_found_is_not_told_again() -> None:
    spread = Verdict("spread", str(cell()), Status.FAIL, "")
    assert turns_jobs([cell()], [spread]) == ()
    assert judged().status is Status.SKIP
    [job] = turns_jobs([cell()], [Verdict("source", str(cell()), Status.FAIL, "")])
    assert job.attempts == RETURNS + 3


def test_only_cells_that_promise_it_are_asked() -> None:
    others = [cell(in_turn=False), cell(1), cell(depth=Depth.STICKY), cell(depth=Depth.COVERAGE)]
    assert turns_jobs(others) == ()
    assert judge_turns(others, {}) == ()
