"""Is every endpoint picked as often as the others? A sequential test that stops early both ways.

For every endpoint j and every alternative a (it is missing, has half weight, has double weight) there is one
e-value: the likelihood of the counts if a were so of j, over their likelihood if all shares were equal. If all
is fair, the average of the 3k e-values has mean 1 at every n, so by Ville's inequality it *ever* reaches
1/alpha with probability at most alpha: looking after every batch costs nothing. The other way round, if a is so
of j, that e-value ever falls to beta with probability at most beta; so shares are called healthy only when every
single alternative has fallen that low. See docs/decisions/0002-statistics.md.
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
        """Its weight, where every other endpoint has weight 1."""
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


def log_e_value(hits: int, n: int, endpoints: int, alternative: Alternative) -> float:
    """The natural logarithm of one e-value: ``hits`` of ``n`` answers came from the endpoint in question."""
    share = stats.weighted_share(endpoints, alternative.weight)
    others = (n - hits) * (math.log(endpoints) + math.log1p(-share) - math.log(endpoints - 1))
    if share == 0.0:
        return -math.inf if hits else others
    return hits * math.log(endpoints * share) + others


def decide(counts: Sequence[int], alpha: float, beta: float) -> Decision:
    """Where the test stands: ``counts`` holds the answers of each endpoint that should have an equal share.

    ``alpha`` bounds the chance that fair shares are ever accused, ``beta`` the chance that any one of the
    alternatives is ever called healthy.
    """
    endpoints, n = len(counts), sum(counts)
    if n == 0:
        return Decision(State.UNDECIDED, None, None, 0.0)
    if endpoints == 1:
        return Decision(State.HEALTHY, None, None, 0.0)
    bank = list(_bank(counts, n))
    worst, endpoint, alternative = max(bank, key=lambda entry: entry[0])
    average = _log_sum(entry[0] for entry in bank) - math.log(len(bank))
    if average >= -math.log(alpha):
        state = State.SUSPECT
    elif worst <= math.log(beta):
        state = State.HEALTHY
    else:
        state = State.UNDECIDED
    return Decision(state, endpoint, alternative, max(average, -1e6) / math.log(10))


def _bank(counts: Sequence[int], n: int) -> Iterator[tuple[float, int, Alternative]]:
    for alternative in Alternative:
        for endpoint, hits in enumerate(counts):
            yield log_e_value(hits, n, len(counts), alternative), endpoint, alternative


def _log_sum(logs: Iterator[float]) -> float:
    values = list(logs)
    top = max(values)
    if top == -math.inf:
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))


@lru_cache(maxsize=256)
def first_look(endpoints: int, beta: float) -> int:
    """After how many answers a look at fair shares is likely to end the test: a good size for the first batch.

    Fair shares pull the logarithm of the half-weight e-value down by a fixed amount for each answer (the
    Kullback-Leibler divergence); the factor covers that the slowest of k endpoints decides.
    """
    if endpoints < 2:
        return 1
    return math.ceil(1.6 * -math.log(beta) / _divergence(endpoints, Alternative.HALF))


def _divergence(endpoints: int, alternative: Alternative) -> float:
    fair, skewed = 1.0 / endpoints, stats.weighted_share(endpoints, alternative.weight)
    return fair * math.log(fair / skewed) + (1.0 - fair) * math.log((1.0 - fair) / (1.0 - skewed))


@lru_cache(maxsize=256)
def cap(endpoints: int, alpha: float, beta: float) -> int:
    """The number of answers by which the test has as good as surely ended; more are never asked for.

    Chernoff's bound on the e-values: fair shares are still undecided there with probability at most alpha, an
    alternative is still not accused with probability at most beta. Whoever gets there has shares that are
    neither (such as three quarters of the weight).
    """
    if endpoints < 2:
        return 1
    needs = []
    for alternative in (Alternative.HALF, Alternative.DOUBLE):
        decay = -math.log(_affinity(endpoints, alternative))
        clear = 0.5 * -math.log(beta) + math.log(2 * endpoints / alpha)
        accuse = 0.5 * math.log(3 * endpoints / alpha) - math.log(beta)
        needs.append(max(clear, accuse) / decay)
    return math.ceil(max(needs))


def _affinity(endpoints: int, alternative: Alternative) -> float:
    """Bhattacharyya's coefficient of fair shares and the alternative: what one answer leaves undecided."""
    fair, skewed = 1.0 / endpoints, stats.weighted_share(endpoints, alternative.weight)
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
