"""The statistics that verdicts rest on, in plain Python: scipy takes 0.85 s to import, so it is the oracle in tests.

Everything here is exact up to rounding; nothing is a normal approximation but the Wilson interval, whose job is
to be shown to people. Formulas are numbered as in Abramowitz & Stegun, *Handbook of Mathematical Functions*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

TINY = 1e-300
PRECISION = 1e-15
MAX_TERMS = 100_000


def log_binomial(hits: int, n: int, p: float) -> float:
    """``ln P(X = hits)`` for X ~ Binomial(n, p); minus infinity where that is impossible."""
    if not 0 <= hits <= n:
        return -math.inf
    if p <= 0.0:
        return 0.0 if hits == 0 else -math.inf
    if p >= 1.0:
        return 0.0 if hits == n else -math.inf
    ways = math.lgamma(n + 1) - math.lgamma(hits + 1) - math.lgamma(n - hits + 1)
    return ways + hits * math.log(p) + (n - hits) * math.log1p(-p)


def binomial_at_most(hits: int, n: int, p: float) -> float:
    """``P(X ≤ hits)`` for X ~ Binomial(n, p), summed outwards from the boundary so that small tails keep precision."""
    if hits < 0:
        return 0.0
    if hits >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    if hits > n * p:
        return 1.0 - _upper_sum(hits + 1, n, p)
    return _lower_sum(hits, n, p)


def binomial_at_least(hits: int, n: int, p: float) -> float:
    """``P(X ≥ hits)`` for X ~ Binomial(n, p)."""
    return binomial_at_most(n - hits, n, 1.0 - p)


def _lower_sum(start: int, n: int, p: float) -> float:
    term = total = math.exp(log_binomial(start, n, p))
    for hits in range(start, 0, -1):
        term *= hits / (n - hits + 1) * (1.0 - p) / p
        total += term
        if term <= total * PRECISION:
            break
    return min(total, 1.0)


def _upper_sum(start: int, n: int, p: float) -> float:
    term = total = math.exp(log_binomial(start, n, p))
    for hits in range(start, n):
        term *= (n - hits) / (hits + 1) * p / (1.0 - p)
        total += term
        if term <= total * PRECISION:
            break
    return min(total, 1.0)


def chi_square_survival(x: float, df: int) -> float:
    """``P(X ≥ x)`` for a chi-square variable: the regularised upper incomplete gamma function Q(df/2, x/2)."""
    if df < 1:
        raise ValueError("degrees of freedom start at 1")
    a, z = df / 2.0, x / 2.0
    if z <= 0.0:
        return 1.0
    if z < a + 1.0:
        return 1.0 - _gamma_series(a, z)
    return _gamma_fraction(a, z)


def chi_square_below(x: float, df: int) -> float:
    """``P(X ≤ x)`` for a chi-square variable, precise also where it is very small."""
    a, z = df / 2.0, x / 2.0
    if z <= 0.0:
        return 0.0
    if z < a + 1.0:
        return _gamma_series(a, z)
    return 1.0 - _gamma_fraction(a, z)


def _gamma_series(a: float, z: float) -> float:
    """P(a, z) by its power series (A&S 6.5.29): for z < a + 1."""
    term = total = 1.0 / a
    for step in range(1, MAX_TERMS):
        term *= z / (a + step)
        total += term
        if term <= total * PRECISION:
            break
    return total * math.exp(-z + a * math.log(z) - math.lgamma(a))


def _gamma_fraction(a: float, z: float) -> float:
    """Q(a, z) by its continued fraction (A&S 6.5.31), evaluated by Lentz's method: for z ≥ a + 1."""
    b = z + 1.0 - a
    c = 1.0 / TINY
    d = 1.0 / b
    result = d
    for step in range(1, MAX_TERMS):
        numerator = -step * (step - a)
        b += 2.0
        d = 1.0 / _not_zero(numerator * d + b)
        c = _not_zero(b + numerator / c)
        change = d * c
        result *= change
        if abs(change - 1.0) <= PRECISION:
            break
    return result * math.exp(-z + a * math.log(z) - math.lgamma(a))


def _not_zero(value: float) -> float:
    return value if abs(value) >= TINY else TINY


def chi_square(counts: Sequence[int], shares: Sequence[float] = ()) -> float:
    """Pearson's statistic of counts against shares, equal ones when none are given; 0 when nothing is there."""
    n = sum(counts)
    if n == 0:
        return 0.0
    expected = [n * share for share in shares] or [n / len(counts)] * len(counts)
    return sum((count - wanted) ** 2 / wanted for count, wanted in zip(counts, expected, strict=True))


def wilson(hits: int, n: int, confidence: float = 0.99) -> tuple[float, float]:
    """Wilson's score interval for a share: low and high; (0, 1) when there is no sample."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = hits / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    scale = 1.0 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


@lru_cache(maxsize=4096)
def unseen(endpoints: int, n: int) -> float:
    """The probability that n fair picks leave at least one of the endpoints unseen (exact)."""
    if n < endpoints:
        return 1.0
    first = endpoints * (1.0 - 1.0 / endpoints) ** n
    if first > 1.0:
        return _unseen_by_occupancy(endpoints, n)
    total, sign = 0.0, 1.0
    for missing in range(1, endpoints):
        term = math.exp(
            math.lgamma(endpoints + 1)
            - math.lgamma(missing + 1)
            - math.lgamma(endpoints - missing + 1)
            + n * math.log1p(-missing / endpoints)
        )
        total += sign * term
        sign = -sign
        if term <= total * PRECISION:
            break
    return total


def _unseen_by_occupancy(endpoints: int, n: int) -> float:
    """The same by the distribution of the number of endpoints seen: all terms positive, so nothing cancels."""
    seen = [1.0] + [0.0] * endpoints
    for _ in range(n):
        for count in range(endpoints, 0, -1):
            seen[count] = (seen[count] * count + seen[count - 1] * (endpoints - count + 1)) / endpoints
        seen[0] = 0.0
    return min(1.0, sum(seen[:endpoints]))


@lru_cache(maxsize=1024)
def coverage_sample(endpoints: int, risk: float) -> int:
    """The smallest n for which n fair picks leave an endpoint unseen with probability below ``risk``."""
    if endpoints <= 1:
        return 1
    n = math.ceil(math.log(endpoints / risk) / -math.log1p(-1.0 / endpoints))
    while n > 1 and unseen(endpoints, n - 1) < risk:
        n -= 1
    return n


def absent_by_luck(share: float, n: int) -> float:
    """The probability that n picks all miss one particular endpoint that has this share."""
    return 1.0 if n == 0 else (1.0 - share) ** n


def any_absent(shares: Sequence[float], n: int) -> float:
    """A bound of the probability that n picks with these chances miss some endpoint: the sum over all of them."""
    return min(1.0, sum(absent_by_luck(share, n) for share in shares))


@lru_cache(maxsize=1024)
def coverage_sample_of(shares: tuple[float, ...], risk: float) -> int:
    """The smallest n for which n picks with these chances leave an endpoint unseen with probability below ``risk``.

    Exact where chances are equal, else by the bound of :func:`any_absent`.
    """
    if len(shares) <= 1 or max(shares) - min(shares) < PRECISION:
        return coverage_sample(len(shares), risk)
    low, high = 0, 1
    while any_absent(shares, high) >= risk:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if any_absent(shares, middle) < risk else (middle, high)
    return high


def failure_sample(rate: float, risk: float) -> int:
    """The smallest n for which failures at this rate all stay unseen with probability below ``risk``."""
    return math.floor(math.log(risk) / math.log1p(-rate)) + 1


def visible_rate(n: int, power: float = 0.999) -> float:
    """The smallest failure rate that n attempts show at least once with the given power; 1 without attempts."""
    return 1.0 if n == 0 else -math.expm1(math.log1p(-power) / n)


def reweighted(share: float, factor: float) -> float:
    """The share of one endpoint whose weight is this many times what its share says, all others as they are."""
    return factor * share / (1.0 - share + factor * share)


def skew_power(endpoints: int, n: int, weight: float, alpha: float, share: float = 0.0) -> float:
    """The power of the exact binomial test, at ``alpha`` over both tails of all endpoints, to find this weight.

    ``share`` is what the endpoint should have, an equal one when it is not given.
    """
    tail = alpha / (2.0 * endpoints)
    fair = share or 1.0 / endpoints
    skewed = reweighted(fair, weight)
    if weight < 1.0:
        return binomial_at_most(_lower_limit(n, fair, tail), n, skewed)
    return binomial_at_most(_lower_limit(n, 1.0 - fair, tail), n, 1.0 - skewed)


def _lower_limit(n: int, p: float, tail: float) -> int:
    """The largest count whose lower tail is at most ``tail``; -1 when there is none."""
    low, high = -1, int(n * p)
    while low < high:
        middle = (low + high + 1) // 2
        if binomial_at_most(middle, n, p) <= tail:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=256)
def visible_weights(
    endpoints: int, n: int, alpha: float, power: float = 0.999, share: float = 0.0
) -> tuple[float | None, float | None]:
    """The smallest skew that n picks show: the heaviest light weight and the lightest heavy weight (1 is fair).

    ``(0.48, 1.9)`` reads: a pod with weight 0.48 or less, or 1.9 or more, would have been found. ``None`` where
    no weight would have been (not even 0, or not even 100). ``share`` as for :func:`skew_power`. A fixed-sample
    figure; a sequential test that stops at n sees about as much.
    """
    if endpoints < 2 or n == 0:
        return None, None
    light = _bisect(0.0, 1.0, lambda weight: skew_power(endpoints, n, weight, alpha, share) >= power)
    heavy = _bisect(100.0, 1.0, lambda weight: skew_power(endpoints, n, weight, alpha, share) >= power)
    return light, heavy


def _bisect(visible: float, hidden: float, sees: Callable[[float], bool]) -> float | None:
    """The value nearest to ``hidden`` that is still seen, to three places; ``None`` when even ``visible`` is not."""
    if not sees(visible):
        return None
    while abs(visible - hidden) > 5e-4 * max(1.0, abs(visible)):
        middle = (visible + hidden) / 2.0
        if sees(middle):
            visible = middle
        else:
            hidden = middle
    return round(visible, 3)
