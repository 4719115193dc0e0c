"""Our statistics against scipy, over grids with extremes, and against published tables of sample sizes."""

from __future__ import annotations

import math

import pytest
from scipy import stats as oracle

from harness.verdicts import stats

GRID = [(n, p) for n in (1, 2, 10, 97, 1000, 30_000) for p in (1e-6, 0.01, 0.2, 1 / 3, 0.5, 0.9, 1 - 1e-6)]


@pytest.mark.parametrize(("n", "p"), GRID)
def test_binomial_tails(n: int, p: float) -> None:
    mean, deviation = n * p, math.sqrt(n * p * (1 - p))
    for hits in {0, 1, n // 2, n - 1, n, *(round(mean + step * deviation) for step in (-9, -6, -3, -1, 0, 1, 3, 6, 9))}:
        if 0 <= hits <= n:
            expected = oracle.binom.cdf(hits, n, p), oracle.binom.sf(hits - 1, n, p)
            found = stats.binomial_at_most(hits, n, p), stats.binomial_at_least(hits, n, p)
            assert found == pytest.approx(expected, rel=2e-7, abs=1e-290)


def test_binomial_edges() -> None:
    assert stats.binomial_at_most(-1, 5, 0.5) == 0.0
    assert stats.binomial_at_most(5, 5, 0.5) == 1.0
    assert stats.binomial_at_most(3, 5, 1.0) == 0.0
    assert stats.binomial_at_least(0, 5, 0.5) == 1.0
    assert stats.log_binomial(6, 5, 0.5) == -math.inf
    assert stats.log_binomial(1, 5, 0.0) == -math.inf
    assert stats.log_binomial(5, 5, 1.0) == 0.0


@pytest.mark.parametrize("df", [1, 2, 3, 9, 49, 99, 999])
@pytest.mark.parametrize("times", [1e-6, 0.01, 0.3, 0.9, 1.0, 1.1, 2, 5, 20])
def test_chi_square(df: int, times: float) -> None:
    x = df * times
    assert stats.chi_square_survival(x, df) == pytest.approx(oracle.chi2.sf(x, df), rel=1e-9, abs=1e-280)
    assert stats.chi_square_below(x, df) == pytest.approx(oracle.chi2.cdf(x, df), rel=1e-9, abs=1e-280)


def test_chi_square_edges() -> None:
    assert stats.chi_square_survival(0.0, 3) == 1.0
    assert stats.chi_square_below(0.0, 3) == 0.0
    with pytest.raises(ValueError, match="degrees of freedom"):
        stats.chi_square_survival(1.0, 0)


@pytest.mark.parametrize("counts", [[1, 2, 3], [100, 100, 100], [0, 50], [412, 390, 377, 500]])
def test_chi_square_statistic(counts: list[int]) -> None:
    assert stats.chi_square(counts) == pytest.approx(oracle.chisquare(counts).statistic)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 4000), (0, 30_000)])
def test_wilson(hits: int, n: int) -> None:
    expected = oracle.binomtest(hits, n).proportion_ci(0.99, method="wilson")
    assert stats.wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_without_a_sample() -> None:
    assert stats.wilson(0, 0) == (0.0, 1.0)


COVERAGE = {2: (11, 21, 31), 3: (20, 37, 54), 5: (39, 70, 101), 10: (88, 153, 219), 50: (536, 878, 1220)} | {
    100: (1146, 1833, 2521)
}


@pytest.mark.parametrize("endpoints", COVERAGE)
def test_coverage_sample_as_published(endpoints: int) -> None:
    assert tuple(stats.coverage_sample(endpoints, risk) for risk in (1e-3, 1e-6, 1e-9)) == COVERAGE[endpoints]


@pytest.mark.parametrize(
    ("endpoints", "n"), [(2, 1), (2, 2), (3, 3), (3, 10), (5, 8), (6, 40), (7, 7), (4, 60), (60, 250), (100, 120)]
)
def test_unseen_is_exact(endpoints: int, n: int) -> None:
    """By inclusion and exclusion in whole numbers."""
    onto = sum((-1) ** j * math.comb(endpoints, j) * (endpoints - j) ** n for j in range(endpoints + 1))
    assert stats.unseen(endpoints, n) == pytest.approx(1 - onto / endpoints**n, rel=1e-9)


def test_one_endpoint_needs_one_answer() -> None:
    assert stats.coverage_sample(1, 1e-9) == 1
    assert stats.absent_by_luck(1 / 3, 0) == 1.0


# published n for half and double weight: exact binomial, both tails of all endpoints, alpha 1e-6, power 0.999
SKEW = {2: (578, 578), 3: (746, 584), 5: (1158, 744), 10: (2256, 1241), 50: (11603, 5613), 100: (23685, 11250)}


@pytest.mark.parametrize("endpoints", SKEW)
def test_skew_power_as_published(endpoints: int) -> None:
    for weight, n in zip((0.5, 2.0), SKEW[endpoints], strict=True):
        assert stats.skew_power(endpoints, n, weight, 1e-6) >= 0.999
        assert stats.skew_power(endpoints, round(n * 0.96), weight, 1e-6) < 0.999


def test_visible_weights() -> None:
    light, heavy = stats.visible_weights(3, 746, 1e-6)
    assert light == pytest.approx(0.5, abs=0.005)
    assert heavy is not None
    assert 1.7 < heavy < 2.0
    assert stats.visible_weights(3, 10, 1e-6)[0] is None
    assert stats.visible_weights(1, 100, 1e-6) == (None, None)


@pytest.mark.parametrize(
    ("rate", "rare", "fair"),
    [(0.25, 49, 25), (0.1, 132, 66), (0.05, 270, 135), (0.02, 684, 342), (0.01, 1375, 688), (0.005, 2757, 1379)],
)
def test_failure_sample_as_published(rate: float, rare: int, fair: int) -> None:
    assert (stats.failure_sample(rate, 1e-6), stats.failure_sample(rate, 1e-3)) == (rare, fair)
    assert stats.visible_rate(fair) <= rate


@pytest.mark.parametrize(
    ("background", "rate", "n", "allowed"),
    [(1e-5, 0.01, 1119, 2), (1e-4, 0.01, 1475, 4), (1e-3, 0.01, 2978, 14), (1e-4, 0.05, 257, 3), (1e-3, 0.05, 356, 6)],
)
def test_acceptance_plans_as_published(background: float, rate: float, n: int, allowed: int) -> None:
    assert stats.binomial_at_least(allowed + 1, n, background) <= 1e-6
    assert stats.binomial_at_least(allowed + 1, n, rate) >= 0.999


def test_chi_square_of_weights_is_scipys() -> None:
    counts, shares = [310, 95, 605], [0.3, 0.1, 0.6]
    expected = oracle.chisquare(counts, [share * sum(counts) for share in shares])
    assert stats.chi_square(counts, shares) == pytest.approx(expected.statistic)
    assert stats.chi_square(counts) == pytest.approx(oracle.chisquare(counts).statistic)


@pytest.mark.parametrize("shares", [(0.75, 0.25), (0.1, 0.3, 0.6), (0.9, 0.05, 0.05)])
def test_coverage_sample_of_weights_is_enough_and_hardly_too_much(shares: tuple[float, ...]) -> None:
    n = stats.coverage_sample_of(shares, 1e-3)
    unseen = (oracle.multinomial(n, shares).rvs(200_000, random_state=3) == 0).any(axis=1).mean()
    assert unseen <= 1.15e-3
    assert stats.any_absent(shares, n - 1) >= 1e-3 > stats.any_absent(shares, n)


def test_coverage_sample_of_equal_shares_is_exact() -> None:
    assert stats.coverage_sample_of((0.25,) * 4, 1e-6) == stats.coverage_sample(4, 1e-6)
    assert stats.coverage_sample_of((1.0,), 1e-6) == 1


def test_a_share_that_is_promised_is_the_centre_of_visible_weights() -> None:
    light, heavy = stats.visible_weights(3, 3000, 1e-6, share=0.1)
    assert light is not None
    assert heavy is not None
    assert light < 1.0 < heavy
    assert stats.skew_power(3, 3000, heavy, 1e-6, 0.1) >= 0.999
    assert stats.visible_weights(3, 3000, 1e-6, share=1 / 3) == stats.visible_weights(3, 3000, 1e-6)
