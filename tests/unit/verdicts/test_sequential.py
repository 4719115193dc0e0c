"""The sequential test of shares: its errors by simulation, its sizes against published ones, its edges."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from harness.verdicts import stats
from harness.verdicts.sequential import Alternative, State, cap, decide, equal, evenness, first_look, log_e_value

BETA = 1e-3


def drawn(weights: Sequence[float], rng: random.Random, alpha: float, step: int = 1) -> tuple[State, int]:
    """Draw until decided; the state and the number of draws."""
    counts, n = [0] * len(weights), 0
    while n < 30_000:
        for pod in rng.choices(range(len(weights)), weights, k=step):
            counts[pod] += 1
        n += step
        state = decide(counts, alpha, BETA).state
        if state is not State.UNDECIDED:
            return state, n
    return State.UNDECIDED, n


def runs(weights: Sequence[float], times: int, alpha: float, step: int = 1) -> tuple[float, float]:
    """The share of runs that end in suspicion, and the mean number of draws."""
    rng = random.Random(7)  # noqa: S311 - repeatable on purpose
    ends = [drawn(weights, rng, alpha, step) for _ in range(times)]
    return sum(state is State.SUSPECT for state, _ in ends) / times, sum(n for _, n in ends) / times


@pytest.mark.parametrize(("pods", "times"), [(2, 1500), (3, 1000), (10, 120)])
def test_false_alarms_stay_below_alpha(pods: int, times: int) -> None:
    alarms, _ = runs([1.0] * pods, times, 1e-2, step=5)
    assert alarms <= 1e-2


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        ([1, 1], 171), ([1, 1, 1], 244), ([1] * 5, 404),
        ([0.5, 1], 264), ([0.5, 1, 1], 368), ([2, 1, 1], 275), ([0, 1, 1], 40), ([0, 1, 1, 1, 1], 75),
    ],
)  # fmt: skip
def test_mean_sizes_as_published(weights: list[float], published: int) -> None:
    suspected, mean = runs(weights, 150, 1e-6, step=2)
    assert suspected == (0.0 if len(set(weights)) == 1 else 1.0)
    assert mean == pytest.approx(published, rel=0.12)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("pods", [2, 3, 5])
def test_power(pods: int, weight: float) -> None:
    suspected, _ = runs([weight] + [1.0] * (pods - 1), 250, 1e-6, step=20)
    assert suspected >= 0.99


def test_a_hundred_endpoints() -> None:
    assert decide([135] * 100, 1e-6, BETA).state is State.HEALTHY
    missing = decide([0] + [20] * 99, 1e-6, BETA)
    assert (missing.state, missing.endpoint, missing.alternative) == (State.SUSPECT, 0, Alternative.MISSING)
    double = decide([135] * 41 + [270] + [135] * 58, 1e-6, BETA)
    assert (double.state, double.endpoint, double.alternative) == (State.SUSPECT, 41, Alternative.DOUBLE)
    assert math.isfinite(decide([10**6] * 100, 1e-6, BETA).log10_e)


def test_edges() -> None:
    assert decide([0], 1e-6, BETA).state is State.UNDECIDED
    assert decide([1], 1e-6, BETA).state is State.HEALTHY
    assert decide([0, 0, 0], 1e-6, BETA).state is State.UNDECIDED
    assert decide([1, 0, 0], 1e-6, BETA).state is State.UNDECIDED
    assert decide([30, 0], 1e-6, BETA).state is State.SUSPECT


def test_an_e_value_is_a_likelihood_ratio() -> None:
    """Its mean under fair shares is 1."""
    for alternative in Alternative:
        n, pods = 12, 3
        mean = sum(
            math.exp(stats.log_binomial(hits, n, 1 / pods) + log_e_value(hits, n, 1 / pods, alternative))
            for hits in range(n + 1)
        )
        assert mean == pytest.approx(1.0)


@pytest.mark.parametrize("pods", [2, 3, 10, 100])
def test_first_look_and_cap_are_in_proportion(pods: int) -> None:
    assert first_look(equal(pods), BETA) < cap(equal(pods), 1e-7, BETA) < 20 * first_look(equal(pods), BETA)
    assert cap(equal(pods), 1e-9, BETA) > cap(equal(pods), 1e-6, BETA)
    assert (first_look((1.0,), BETA), cap((1.0,), 1e-7, BETA)) == (1, 1)


def test_dealt_in_turn_shows_and_drawn_does_not() -> None:
    rng = random.Random(3)  # noqa: S311 - repeatable on purpose
    turns = [[84, 83, 83], [83, 84, 83]] * 3
    tables = [[rng.choices(range(3), k=250).count(pod) for pod in range(3)] for _ in range(6)]
    assert evenness(turns) < 1e-6
    assert evenness(tables) > 1e-4
    assert evenness([[5], []]) == 1.0


def test_perfect_evenness_of_one_small_table_proves_nothing() -> None:
    assert evenness([[80, 80, 80]]) > 1e-3


def with_shares(
    weights: Sequence[float], shares: Sequence[float], times: int, alpha: float
) -> tuple[float, float, set[int | None]]:
    """The share of runs that end in suspicion, and in health, and who was suspected, where shares are promised."""
    rng = random.Random(13)  # noqa: S311 - repeatable on purpose
    most = cap(tuple(shares), alpha, BETA)
    ends, accused = [], set()
    for _ in range(times):
        counts, decision = [0] * len(weights), decide([0] * len(weights), alpha, BETA, shares)
        while decision.state is State.UNDECIDED and sum(counts) < most:
            for pod in rng.choices(range(len(weights)), weights, k=20):
                counts[pod] += 1
            decision = decide(counts, alpha, BETA, shares)
        ends.append(decision.state)
        accused |= {decision.endpoint} if decision.state is State.SUSPECT else set()
    return ends.count(State.SUSPECT) / times, ends.count(State.HEALTHY) / times, accused


@pytest.mark.parametrize("weights", [[3, 1], [1, 3, 6], [9, 1], [5, 1, 1, 1]])
def test_promised_weights_are_found_healthy_and_others_are_accused(weights: list[int]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    suspected, healthy, _ = with_shares(weights, shares, 100, 1e-6)
    assert (suspected, healthy) == (0.0, 1.0)
    alarms = round(200 * with_shares(weights, shares, 200, 1e-2)[0])
    assert stats.binomial_at_least(alarms, 200, 1e-2) > 1e-3
    for pod in range(len(weights)):
        for factor in (0.0, 0.5, 2.0):
            wrong = [weight * (factor if i == pod else 1.0) for i, weight in enumerate(weights)]
            suspected, _, accused = with_shares(wrong, shares, 40, 1e-6)
            assert suspected == 1.0
            assert (
                pod in accused or len(weights) == 2
            )  # with weights, a light one and a heavy other may look nearly the same


def test_weighted_e_values_are_likelihood_ratios() -> None:
    for share in (0.1, 0.6, 0.9):
        for alternative in Alternative:
            mean = sum(
                math.exp(stats.log_binomial(hits, 12, share) + log_e_value(hits, 12, share, alternative))
                for hits in range(13)
            )
            assert mean == pytest.approx(1.0)
