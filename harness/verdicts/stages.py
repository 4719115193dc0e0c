"""How much to ask of each cell, and when to stop: the two stages, early exits and hard caps.

Stage one looks until every check of a cell is settled, or one of them alarms. An alarm asks for a fresh sample
of that cell alone, stage two; only what shows again there is a failure (see ``judge``). No cell is ever asked
without bound: every sample size below is computed from the wanted error rates, and attempts that say nothing
count against the limit too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.model.workload import Protocol
from harness.verdicts import sequential, stats
from harness.verdicts.clients import ALONE, EACH, fewest_pods
from harness.verdicts.expectations import Cell, Depth
from harness.verdicts.sequential import Decision, State
from harness.verdicts.tally import Counts, Need, Tallies, Tally
from harness.verdicts.unheard import UNHEARD, keeps_out

SCOUT = 20
"""Attempts of the first round: as many as are needed to know a dead cell, so that it costs one time-out."""

FLOOR = 40
"""Answers of any cell before it is called fine: failures at a rate of 16 % show with power 0.999."""

REFUSALS = 6
"""Attempts at a nodePort that must refuse: no more than the burst after which ICMP errors are held back."""

UDP_REFUSALS = 2
"""The same over UDP: a few nodePorts and ClusterIPs without endpoints share one such burst."""

SILENCES = 4
"""Attempts at a nodePort that must stay silent: silence is not a matter of luck, and each costs a time-out."""

HELD_UP_ROUNDS = 8
"""How often such a cell is asked again when all that was asked says nothing: its attempts are under way at the same
time, so one moment in which the prober was held up spoils all of them."""

ENOUGH_FAILURES = 32
"""Failures in stage two after which nothing more is learnt, and each may cost a time-out."""

CONFIRM_LIMIT = 2000
"""The most that is asked to see a rare failure again."""

_FIXED = {Depth.REFUSED: REFUSALS, Depth.CLOSED: SILENCES, Depth.SILENT: SILENCES, Depth.STICKY: FLOOR,
          Depth.HEALTH: SILENCES}  # fmt: skip
"""The sample sizes that depend on nothing."""

_NO_MATTER_OF_LUCK = (*UNHEARD, Depth.HEALTH)
"""Cells of which a few attempts say all."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The wanted error rates: of false alarms over a whole run, and of missing a fault that is looked for."""

    false_alarm: float = 1e-6
    miss: float = 1e-3


@dataclass(frozen=True, slots=True)
class Budget:
    """The error rates of one cell: ``false_alarm`` is split evenly, half to shares, half to coverage."""

    spread: float
    coverage: float
    confirm: float
    beta: float

    @classmethod
    def of(cls, cells: Sequence[Cell], levels: Levels) -> Budget:
        """What each of these cells may spend. Both stages may miss, so each may miss half as often."""
        several = [
            cell for cell in cells if len(cell.endpoints) > 1 and cell.depth not in (Depth.STICKY, Depth.CLIENTS)
        ]
        spread = sum(cell.depth is Depth.SPREAD for cell in several)
        share = levels.false_alarm / 2
        return cls(share / max(1, spread), share / max(1, len(several)), levels.miss, levels.miss / 2)


class Alarm(StrEnum):
    """What a sample of a cell cries about; the gravest only."""

    NONE = "none"
    HARD = "hard"
    COVERAGE = "coverage"
    SPREAD = "spread"


def shares_of(cell: Cell, counts: Counts, alpha: float, budget: Budget) -> Decision:
    """Where the test of equal shares stands for these counts of a cell."""
    return sequential.decide(counts.of(cell.endpoints), alpha, budget.beta, cell.fair)


def unseen_pods(cell: Cell, counts: Counts) -> tuple[str, ...]:
    """Keys of the pods that never answered."""
    return tuple(endpoint.pod for endpoint in cell.endpoints if not counts.answers.get(endpoint.pod))


def strays(counts: Counts) -> int:
    """Answers by other pods than the one that answered most: 0 when the client sticks to one."""
    return sum(counts.answers.values()) - max(counts.answers.values(), default=0)


def pods_of_clients(counts: Counts) -> dict[str, list[str]]:
    """The pods that answered each of many clients."""
    found: dict[str, list[str]] = {}
    for client, pod in counts.clients:
        found.setdefault(client, []).append(pod)
    return found


def huddled(cell: Cell, counts: Counts) -> bool:
    """Whether many clients were sent to so few pods that it is not luck."""
    dealt = [pods[0] for pods in pods_of_clients(counts).values() if len(pods) == 1]
    return bool(dealt) and len(set(dealt)) < fewest_pods(len(cell.endpoints), len(dealt))


def alarm(cell: Cell, counts: Counts, alpha: float, budget: Budget) -> Alarm:
    """What one stage's sample cries about, at ``alpha`` for the test of shares."""
    if cell.depth in UNHEARD:
        return Alarm.NONE if counts.n == 0 or keeps_out(cell, counts) else Alarm.HARD
    if counts.bad or (cell.depth is Depth.STICKY and strays(counts)):
        return Alarm.HARD
    if cell.depth is Depth.CLIENTS:
        astray = any(len(pods) > 1 for pods in pods_of_clients(counts).values())
        return Alarm.HARD if astray or huddled(cell, counts) else Alarm.NONE
    if cell.depth is Depth.STICKY:
        return Alarm.NONE
    if cell.depth is Depth.SPREAD:
        return Alarm.SPREAD if shares_of(cell, counts, alpha, budget).state is State.SUSPECT else Alarm.NONE
    enough = counts.n >= stats.coverage_sample_of(cell.fair, budget.coverage)
    return Alarm.COVERAGE if enough and unseen_pods(cell, counts) else Alarm.NONE


def next_round(cells: Sequence[Cell], tallies: Tallies, levels: Levels | None = None) -> tuple[Need, ...]:
    """The attempts to make next; none when all is settled. Vantage points that were lost are asked no more.

    UDP cells that must refuse come before all others, and at most one at a time from one vantage point to one node: the
    kernel sends an ICMP error to one peer about once a second (``icmp_ratelimit``), so they would silence each other.
    Other traffic takes from the same allowance: hosts that are unreachable, and on machines that were set up by others
    redirects (inet_peer_xrlim_allow and ip_rt_send_redirect share one clock); role node_base turns those off.
    """
    budget = Budget.of(cells, levels or Levels())
    wanted = [
        need
        for cell in cells
        if cell.vantage not in tallies.lost
        if (need := _need(cell, tallies.of(cell), budget)) is not None
    ]
    limited = [need for need in wanted if _is_limited(need.cell)]
    return tuple(_one_of_each_pair(limited) or wanted)


def _is_limited(cell: Cell) -> bool:
    return cell.depth is Depth.REFUSED and cell.key.target.protocol is Protocol.UDP


def _one_of_each_pair(needs: Iterable[Need]) -> list[Need]:
    return list({(need.cell.vantage, need.cell.node): need for need in reversed(list(needs))}.values())[::-1]


def _fixed(cell: Cell) -> int:
    """The sample size of a cell of which a few attempts say all."""
    return UDP_REFUSALS if _is_limited(cell) else _FIXED[cell.depth]


def _need(cell: Cell, tally: Tally, budget: Budget) -> Need | None:
    crying = alarm(cell, tally.first, budget.spread, budget)
    if cell.depth is Depth.CLIENTS:
        return _of_clients(cell, tally, crying)
    if crying is Alarm.NONE:
        return _ask(cell, tally.first.asked, _first_target(cell, tally.first, budget), _bound(cell, budget))
    second = tally.second or Counts()
    if crying is Alarm.HARD and tally.first.bad and cell.depth not in _NO_MATTER_OF_LUCK:
        target = _hard_target(cell, tally, budget)
    else:
        target = _second_target(cell, second, crying, budget)
    bound = _bound(cell, budget, 2 * CONFIRM_LIMIT)
    return _ask(cell, second.asked, second.asked + target, bound, confirming=True)


def _of_clients(cell: Cell, tally: Tally, crying: Alarm) -> Need | None:
    """Every client asks once, alone, so that it is dealt its pod, and then again; after an alarm so do others.

    Where an attempt failed no more is asked: each may cost a time-out.
    """
    second = tally.second or Counts()
    confirming = crying is not Alarm.NONE and tally.first.asked > 0
    counts = second if confirming else tally.first
    each = len(cell.clients) // 2
    if counts.asked and (counts.bad or counts.answered == 0):
        return None
    if counts.asked < each:
        attempts = min(each, ALONE) if counts.asked == 0 else each - counts.asked
    else:
        attempts = EACH * each - counts.asked
    return Need(cell, attempts, confirming, counts.asked) if attempts > 0 else None


def _ask(cell: Cell, asked: int, target: int, bound: int, *, confirming: bool = False) -> Need | None:
    attempts = min(target, bound) - asked
    return Need(cell, attempts, confirming) if attempts > 0 else None


def _bound(cell: Cell, budget: Budget, least: int = 0) -> int:
    """The most attempts ever asked in one stage, also when many of them say nothing.

    It is ``least`` or more, but where a few attempts say all.
    """
    if cell.depth in _NO_MATTER_OF_LUCK:
        return HELD_UP_ROUNDS * _fixed(cell)
    return max(least, 2 * max(limit(cell, budget), FLOOR) + 100)


def limit(cell: Cell, budget: Budget) -> int:
    """The number of answers at which a stage gives up."""
    endpoints = len(cell.endpoints)
    if cell.depth in _FIXED:
        return _fixed(cell)
    if cell.depth is Depth.COVERAGE or endpoints == 1:
        return max(FLOOR, stats.coverage_sample_of(cell.fair, budget.coverage))
    return max(FLOOR, sequential.cap(cell.fair, budget.spread, budget.beta))


def _first_target(cell: Cell, counts: Counts, budget: Budget) -> int:
    """How many attempts stage one should have made in all by the end of the next round."""
    if cell.depth in _NO_MATTER_OF_LUCK:
        return counts.asked + _fixed(cell) if counts.n == 0 else 0
    if counts.asked == 0:
        return SCOUT
    return counts.asked + _quiet_target(cell, counts, budget.spread, budget)


def _quiet_target(cell: Cell, counts: Counts, alpha: float, budget: Budget) -> int:
    """How many attempts more while nothing is wrong: 0 when coverage and shares are settled."""
    n = counts.n
    if cell.depth is Depth.STICKY or (n < FLOOR and cell.depth is Depth.COVERAGE):
        return max(0, FLOOR - n)
    if cell.depth is Depth.COVERAGE:
        missing = stats.coverage_sample_of(cell.fair, budget.coverage) - n
        return max(0, missing) if unseen_pods(cell, counts) else 0
    decided = shares_of(cell, counts, alpha, budget).state is not State.UNDECIDED
    if decided or n >= limit(cell, budget):
        return max(0, FLOOR - n)
    look = max(FLOOR, sequential.first_look(cell.fair, budget.beta))
    batch = look - n if n < look else max(FLOOR, n // 3)
    return min(batch, limit(cell, budget) - n)


def _second_target(cell: Cell, second: Counts, crying: Alarm, budget: Budget) -> int:
    """How many attempts more to see a silent pod, a skew, a stray answer or a wrong refusal again."""
    if cell.depth in _NO_MATTER_OF_LUCK:
        return _fixed(cell) if second.n == 0 else 0
    if second.bad:
        return 0
    if crying is Alarm.COVERAGE:
        return max(0, limit(cell, budget) - second.n) if unseen_pods(cell, second) else 0
    return _quiet_target(cell, second, budget.confirm, budget)


def _hard_target(cell: Cell, tally: Tally, budget: Budget) -> int:
    """How many attempts more after failures: enough to see them again, and to see who is silent; then stop.

    When they do not come again, coverage and shares are settled on both samples together.
    """
    first, second = tally.first, tally.second or Counts()
    if first.answered == 0:
        return max(0, SCOUT - second.asked)
    if second.bad >= ENOUGH_FAILURES:
        return 0
    left = _confirm_size(cell, first, budget) - second.n
    if left > 0:
        rate = tally.both.bad / tally.both.n
        return min(left, max(SCOUT, math.ceil((ENOUGH_FAILURES - second.bad) / rate)))
    return 0 if second.bad else _quiet_target(cell, tally.both, budget.spread, budget)


def _confirm_size(cell: Cell, first: Counts, budget: Budget) -> int:
    """So many attempts that failures at the rate seen come again, with power 1 - beta, and every live pod is seen."""
    rarest = min(kind for kind in (first.failed + first.late, sum(first.wrong.values())) if kind)
    again = min(CONFIRM_LIMIT, math.ceil(-math.log(budget.beta) * first.n / rarest))
    return max(again, stats.coverage_sample_of(cell.fair, budget.coverage))
