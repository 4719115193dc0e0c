"""Are picks dealt in turn, where round-robin is promised? Asked one connection after the other, with nothing between.

Counts cannot tell this well: of k endpoints dealt in turn, or drawn by chance, the totals differ by a few. The order
tells it at once. With one dealer for a nodePort of a node, connection i + k goes where connection i went, always.
Drawn by chance from equal shares, it does with probability 1/k, each time independently of all others: the number of
returns among N is binomial, exactly. So

- every one of N returned, and k different endpoints among the first k: PASS. By chance that is k^-N;
- fewer than ``limit(k, N)`` returned: drawn by chance, or from several decks. Chance reaches that limit with at most
  ``LUCK``, so picks by chance are found but for that. In both of two samples: FAIL;
- between the two: mostly in turn, as when somebody else connected meanwhile and took a turn: INCONCLUSIVE.

Nobody else may connect meanwhile, and nothing but one dealer may deal: workers that deal each for itself (as of nginx
without a shared zone) do not keep this promise, and are judged as ``random``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.observation import Attempt, Job, Outcome
from harness.model.verdict import Status, Verdict
from harness.verdicts.case import Case
from harness.verdicts.expectations import Cell, CellKey
from harness.verdicts.stages import Budget, Levels
from harness.verdicts.stats import binomial_at_least
from harness.verdicts.tally import Counts, Tally, count

RETURNS = 100
"""Connections that are compared with the one a cycle before: chance returns 100 of two endpoints as rarely as 1e-30."""

LUCK = 1e-6
"""How often picks by chance may look like turns that somebody disturbed: the samples of all nodes are looked at, and a
hundred connections can afford it."""

SPOILT = frozenset({"answers", "responders", "coverage", "spread"})
"""Checks whose failure makes the order of answers meaningless."""


def turns_jobs(cells: Sequence[Cell], spoilt: Sequence[Verdict] = ()) -> tuple[Job, ...]:
    """What has to be asked, each job alone and one connection after the other; ``spoilt`` are verdicts that failed."""
    sick = {verdict.subject for verdict in spoilt if verdict.check in SPOILT}
    return tuple(
        Job(cell.vantage, cell.key.target, RETURNS + len(cell.endpoints), cell.ask)
        for cell in cells
        if cell.dealt and str(cell) not in sick
    )


def limit(endpoints: int, compared: int, miss: float) -> int:
    """The smallest number of returns that chance reaches with probability at most ``miss``."""
    return next(hits for hits in range(compared + 2) if binomial_at_least(hits, compared, 1.0 / endpoints) <= miss)


def returns(order: Sequence[str], endpoints: int) -> tuple[int, int]:
    """How many answers came from where the one a cycle before came from, and how many were compared."""
    pairs = list(zip(order, order[endpoints:], strict=False))
    return sum(before == after for before, after in pairs), len(pairs)


def out_of_turn(cell: Cell, attempts: Sequence[Attempt]) -> bool:
    """Whether this sample is anything but dealt in turn, so that a second one is needed."""
    order = _order(cell, attempts)
    hits, compared = returns(order, len(cell.endpoints))
    return not order or hits < compared or len(set(order[: len(cell.endpoints)])) < len(cell.endpoints)


def judge_turns(
    cells: Sequence[Cell], samples: Mapping[CellKey, Sequence[Sequence[Attempt]]], seed: int | None = None
) -> tuple[Verdict, ...]:
    """One verdict for each cell that should be dealt in turn; ``samples`` has one or two orderly samples of each."""
    budget = Budget.of(cells, Levels())
    return tuple(_verdict(cell, samples.get(cell.key, ()), budget, seed) for cell in cells if cell.dealt)


def _verdict(cell: Cell, samples: Sequence[Sequence[Attempt]], budget: Budget, seed: int | None) -> Verdict:
    counted = [count(sample, cell.endpoints) for sample in samples]
    case = Case(
        cell, Tally(counted[0] if counted else Counts(), counted[1] if len(counted) > 1 else None), budget, seed
    )
    if not samples:
        return case.verdict("turns", Status.SKIP, "the order of answers is not judged where another check failed")
    if any(each.bad or each.set_aside for each in counted):
        return case.verdict(
            "turns", Status.INCONCLUSIVE, "attempts failed meanwhile, so the order of answers is broken"
        )
    ends, last = len(cell.endpoints), _order(cell, samples[-1])
    hits, compared = returns(last, ends)
    least = limit(ends, compared, LUCK)
    numbers: dict[str, object] = {
        "returns": hits, "compared": compared, "by_chance": compared / ends, "limit": least,
        "p": binomial_at_least(hits, compared, 1.0 / ends), "order": [_name(pod) for pod in last[: 3 * ends]],
    }  # fmt: skip
    wrong = [out_of_turn(cell, sample) for sample in samples]
    if not any(wrong):
        told = f"dealt in turn: all {compared} connections went where the one {ends} before went ({_shown(last, ends)})"
        return case.verdict("turns", Status.PASS, told, **numbers)
    told = (
        f"{hits} of {compared} connections went where the one {ends} before went; in turn all do, "
        f"by chance {compared / ends:.0f} ({_shown(last, ends)})"
    )
    few = [returns(_order(cell, sample), ends)[0] < least for sample in samples]
    if len(few) > 1 and all(few):
        told = f"not dealt in turn: {told}, twice"
        return case.verdict("turns", Status.FAIL, told, **numbers)
    if not wrong[-1]:
        told = "transient: a first sample was out of turn, a fresh one was dealt in turn"
    else:
        told = f"mostly in turn: {told}; does somebody else connect, or does it deal from several decks?"
    return case.verdict("turns", Status.INCONCLUSIVE, told, **numbers)


def _order(cell: Cell, attempts: Sequence[Attempt]) -> list[str]:
    """Who answered, one after the other; the names of strangers as they are."""
    pods = {endpoint.hostname: endpoint.pod for endpoint in cell.endpoints}
    return [pods.get(each.responder, each.responder) for each in attempts if each.outcome is Outcome.OK]


def _shown(order: Sequence[str], endpoints: int) -> str:
    told = " ".join(_name(pod) for pod in order[: min(12, 2 * endpoints)])
    return f"{told} …"


def _name(pod: str) -> str:
    return pod.rpartition("/")[2]
