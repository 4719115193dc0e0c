"""Control probes: straight to pods, past every nodePort. They tell a bad endpoint or path from bad forwarding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from harness.model.observation import OUTSIDE, Attempt, Job, Outcome, Target
from harness.verdicts.expectations import Cell, Expected
from harness.verdicts.stages import Alarm, Budget, Levels, alarm, unseen_pods
from harness.verdicts.tally import Counts, Tallies, count

ATTEMPTS = 4
"""Attempts of one control: whether a pod answers, refuses or is silent is not a matter of luck."""

MANY = 20
"""With more pods than this only the silent ones are asked directly, and one other pod of each node."""


class Direct(StrEnum):
    """What came of asking a pod directly from one node."""

    OK = "answers"
    WRONG = "is answered by somebody else"
    REFUSED = "refuses"
    HANGS = "accepts but does not answer"
    BAD = "answers wrongly"
    SILENT = "is silent"
    UNKNOWN = "was not asked"


Directs = Mapping[tuple[str, Target], Counts]
"""Counts of direct attempts by vantage point and target: a pod's address, port and protocol."""


def controls(cells: Sequence[Cell], tallies: Tallies, levels: Levels | None = None) -> tuple[Job, ...]:
    """The control probes wanted: from every node that can be asked, to the pods of every Service port that alarmed."""
    budget = Budget.of(cells, levels or Levels())
    cells = [cell for cell in cells if cell.plain]
    sick = {cell.promise for cell in cells if _alarmed(cell, tallies, budget)}
    nodes = list(dict.fromkeys(cell.vantage for cell in cells if cell.vantage not in (OUTSIDE, *tallies.lost)))
    jobs: dict[Job, None] = {}
    for promise in dict.fromkeys(cell.promise for cell in cells):
        if promise in sick:
            of_promise = [cell for cell in cells if cell.promise == promise]
            known = [each for each in _worth_asking(of_promise, tallies) if each.address and each.port]
            for endpoint in known:
                target, ask = target_of(endpoint, of_promise[0]), of_promise[0].ask
                jobs |= dict.fromkeys(Job(node, target, ATTEMPTS, ask) for node in nodes)
    return tuple(jobs)


def _alarmed(cell: Cell, tallies: Tallies, budget: Budget) -> bool:
    return alarm(cell, tallies.of(cell).first, budget.spread, budget) is not Alarm.NONE


def target_of(endpoint: Expected, cell: Cell) -> Target:
    """The pod itself as a target, over the protocol of the cell."""
    return Target(endpoint.node, endpoint.address, endpoint.port, cell.key.target.protocol)


def _worth_asking(cells: Sequence[Cell], tallies: Tallies) -> list[Expected]:
    endpoints = list({endpoint.pod: endpoint for cell in cells for endpoint in cell.endpoints}.values())
    if len(endpoints) <= MANY:
        return endpoints
    silent = {
        pod for cell in cells if tallies.of(cell).both.answered for pod in unseen_pods(cell, tallies.of(cell).both)
    }
    sample = {endpoint.node: endpoint for endpoint in reversed(endpoints)}.values()
    return [endpoint for endpoint in endpoints if endpoint.pod in silent or endpoint in sample]


def sort_directs(cells: Sequence[Cell], attempts: Iterable[Attempt]) -> Directs:
    """Direct attempts, counted by vantage point and target; other attempts are left out."""
    wanted = {target_of(endpoint, cell): endpoint for cell in cells for endpoint in cell.endpoints}
    sorted_attempts: dict[tuple[str, Target], list[Attempt]] = {}
    for attempt in attempts:
        if attempt.target in wanted:
            sorted_attempts.setdefault((attempt.vantage, attempt.target), []).append(attempt)
    return {pair: count(of_pair, [wanted[pair[1]]]) for pair, of_pair in sorted_attempts.items()}


def state(counts: Counts | None) -> Direct:
    """What direct attempts at one pod from one node amount to."""
    if counts is None or counts.n == 0:
        return Direct.UNKNOWN
    if counts.wrong:
        return Direct.WRONG
    if counts.answers:
        return Direct.OK
    if counts.failures.get(Outcome.REFUSED):
        return Direct.REFUSED
    if any(counts.failures.get(outcome) for outcome in (Outcome.HANG, Outcome.CLOSED, Outcome.RESET)):
        return Direct.HANGS
    return Direct.BAD if counts.failures.get(Outcome.BAD_ANSWER) else Direct.SILENT
