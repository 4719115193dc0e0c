"""Is every endpoint picked as often as promised? A sequential test that stops early both ways.

For every endpoint j and every alternative a (it is missing, has half weight, has double weight) there is one
e-value: the likelihood of the counts if a were so of j, over their likelihood if all shares were as promised (equal,
unless there are weights). If they are, the average of the 3k e-values has mean 1 at every n, so by Ville's inequality
it *ever* reaches 1/alpha with probability at most alpha: looking after every batch costs nothing. The other way
round, if a is so of j, that e-value ever falls to beta with probability at most beta; so shares are called healthy
only when every single alternative has fallen that low. See docs/decisions/0002-statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from harness.verdicts import stats


class Alternative(StrEnum):
    """What could be wrong with one endpoint's share, in words for people."""

    MISSING = "missing"
    HALF = "half weight"
    DOUBLE = "double weight"

    @property
    def weight(self) -> float:
        """Its weight, as a multiple of the promised one."""
        return {"missing": 0.0, "half weight": 0.5, "double weight": 2.0}[self.value]


class State(StrEnum):
    """Where the test stands."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the test stands after some counts.

    ``endpoint`` (an index into the counts) and ``alternative`` are the strongest suspicion so far, ``None`` only
    when there is nothing to suspect (one endpoint, or no sample); they are an accusation when ``state`` is
    SUSPECT. ``log10_e`` is the decimal logarithm of the average e-value.
    """

    state: State
    endpoint: int | None
    alternative: Alternative | None
    log10_e: float


def equal(endpoints: int) -> tuple[float, ...]:
    """Equal shares for so many endpoints."""
    return (1.0 / endpoints,) * endpoints if endpoints else ()


def log_e_value(hits: int, n: int, fair: float, alternative: Alternative) -> float:
    """The natural logarithm of one e-value: ``hits`` of ``n`` answers came from the endpoint of share ``fair``."""
    share = stats.reweighted(fair, alternative.weight)
    others = (n - hits) * (math.log1p(-share) - math.log1p(-fair))
    if share == 0.0:
        return -math.inf if hits else others
    return hits * math.log(share / fair) + others


def decide(counts: Sequence[int], alpha: float, beta: float, shares: Sequence[float] = ()) -> Decision:
    """Where the test stands: ``counts`` holds the answers of each endpoint, ``shares`` what is promised (else equal).

    Shares add up to 1 and are above 0. ``alpha`` bounds the chance that shares as promised are ever accused, ``beta``
    the chance that any one of the alternatives is ever called healthy.
    """
    endpoints, n = len(counts), sum(counts)
    if n == 0:
        return Decision(State.UNDECIDED, None, None, 0.0)
    if endpoints == 1:
        return Decision(State.HEALTHY, None, None, 0.0)
    bank = list(_bank(counts, n, shares or equal(endpoints)))
    worst, endpoint, alternative = max(bank, key=lambda entry: entry[0])
    average = _log_sum(entry[0] for entry in bank) - math.log(len(bank))
    if average >= -math.log(alpha):
        state = State.SUSPECT
    elif worst <= math.log(beta):
        state = State.HEALTHY
    else:
        state = State.UNDECIDED
    return Decision(state, endpoint, alternative, max(average, -1e6) / math.log(10))


def _bank(counts: Sequence[int], n: int, shares: Sequence[float]) -> Iterator[tuple[float, int, Alternative]]:
    for alternative in Alternative:
        for endpoint, (hits, share) in enumerate(zip(counts, shares, strict=True)):
            yield log_e_value(hits, n, share, alternative), endpoint, alternative


def _log_sum(logs: Iterator[float]) -> float:
    values = list(logs)
    top = max(values)
    if top == -math.inf:
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))


@lru_cache(maxsize=256)
def first_look(shares: tuple[float, ...], beta: float) -> int:
    """After how many answers a look at fair shares is likely to end the test: a good size for the first batch.

    Shares as promised pull the logarithm of the half-weight e-value down by a fixed amount for each answer (the
    Kullback-Leibler divergence); the factor covers that the slowest of k endpoints decides.
    """
    if len(shares) < 2:
        return 1
    return math.ceil(1.6 * -math.log(beta) / min(_divergence(fair, Alternative.HALF) for fair in set(shares)))


def _divergence(fair: float, alternative: Alternative) -> float:
    skewed = stats.reweighted(fair, alternative.weight)
    return fair * math.log(fair / skewed) + (1.0 - fair) * math.log((1.0 - fair) / (1.0 - skewed))


@lru_cache(maxsize=256)
def cap(shares: tuple[float, ...], alpha: float, beta: float) -> int:
    """The number of answers by which the test has as good as surely ended; more are never asked for.

    Chernoff's bound on the e-values: fair shares are still undecided there with probability at most alpha, an
    alternative is still not accused with probability at most beta. Whoever gets there has shares that are
    neither (such as three quarters of the weight).
    """
    endpoints = len(shares)
    if endpoints < 2:
        return 1
    needs = []
    for alternative in (Alternative.HALF, Alternative.DOUBLE):
        decay = min(-math.log(_affinity(fair, alternative)) for fair in set(shares))
        clear = 0.5 * -math.log(beta) + math.log(2 * endpoints / alpha)
        accuse = 0.5 * math.log(3 * endpoints / alpha) - math.log(beta)
        needs.append(max(clear, accuse) / decay)
    return math.ceil(max(needs))


def _affinity(fair: float, alternative: Alternative) -> float:
    """Bhattacharyya's coefficient of the promised share and the alternative: what one answer leaves undecided."""
    skewed = stats.reweighted(fair, alternative.weight)
    return math.sqrt(fair * skewed) + math.sqrt((1.0 - fair) * (1.0 - skewed))


def evenness(tables: Sequence[Sequence[int]]) -> float:
    """The probability that random picks would come out at least as even as these tables of counts, together.

    Close to 0 means that picks are not random but dealt in turn (round-robin). Counts are whole numbers, so
    perfect evenness happens by luck too: half a step of the lattice on which the statistic lives is added.
    """
    usable = [list(table) for table in tables if len(table) > 1 and sum(table) > 0]
    if not usable:
        return 1.0
    statistic = sum(stats.chi_square(table) + len(table) / sum(table) for table in usable)
    return stats.chi_square_below(statistic, sum(len(table) - 1 for table in usable))
