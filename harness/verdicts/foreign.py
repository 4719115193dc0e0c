"""What is wrong on somebody else's machines, as far as that can be told without knowing how they forward.

An endpoint that fails when it is asked directly is at fault itself, or the way to it is. What fails through one node,
though the endpoint is well, is that node's forwarder. No words on rules or daemons: whose they are, we do not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.model.observation import Attempt
from harness.model.verdict import Diagnosis, Status, Verdict
from harness.verdicts.case import listed, outcomes
from harness.verdicts.controls import Direct, Directs, sort_directs, state, target_of
from harness.verdicts.expectations import Cell, Expected
from harness.verdicts.stages import unseen_pods
from harness.verdicts.tally import Counts, Tallies

WELL = (Direct.OK, Direct.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Sick:
    """A cell that failed, with the checks that did, and its counts."""

    cell: Cell
    failed: dict[str, Verdict]
    counts: Counts


def diagnose_promised(
    cells: Sequence[Cell], tallies: Tallies, judged: Sequence[Verdict], controls: Iterable[Attempt] = ()
) -> tuple[Diagnosis, ...]:
    """The most likely causes of what failed: endpoints first, then nodes; none when nothing failed.

    ``controls`` are the attempts made for :func:`harness.verdicts.controls.controls`.
    """
    directs = sort_directs(cells, controls)
    failed: dict[str, dict[str, Verdict]] = {}
    for verdict in judged:
        if verdict.status is Status.FAIL:
            failed.setdefault(verdict.subject, {})[verdict.check] = verdict
    sick = [_Sick(cell, failed[str(cell)], tallies.of(cell).both) for cell in cells if str(cell) in failed]
    dead = {end.pod: end for each in sick for end in _silent(each) if _at_fault(end, each.cell, directs)}
    found = [_endpoint(end, sick, directs) for end in dead.values()]
    for node in dict.fromkeys(each.cell.node for each in sick):
        found += _node([each for each in sick if each.cell.node == node], cells, tallies, dead, directs)
    return tuple({(each.cause, each.node, each.pod): each for each in found}.values())


def _silent(sick: _Sick) -> list[Expected]:
    silent = set(unseen_pods(sick.cell, sick.counts))
    return [end for end in sick.cell.endpoints if end.pod in silent or sick.counts.failed]


def _asked(end: Expected, cell: Cell, directs: Directs) -> dict[str, Direct]:
    """What came of asking an endpoint directly, by vantage point."""
    target = target_of(end, cell)
    return {vantage: state(counts) for (vantage, each), counts in directs.items() if each == target}


def _at_fault(end: Expected, cell: Cell, directs: Directs) -> bool:
    asked = _asked(end, cell, directs)
    return bool(asked) and not any(each in WELL for each in asked.values())


def _endpoint(end: Expected, sick: Sequence[_Sick], directs: Directs) -> Diagnosis:
    where = next(each.cell for each in sick if end in each.cell.endpoints)
    asked = _asked(end, where, directs)
    words = list(dict.fromkeys(str(each) for each in asked.values()))
    address = f"{end.address}:{end.port}"
    text = (
        f"Seen: asked directly at {address}, from {', '.join(asked)}, it {' or '.join(words)}. So it is the endpoint, "
        "or the way to it, and not the forwarder of one node. What to do: mend it, or take it out of the forwarders."
    )
    return Diagnosis("endpoint-at-fault", f"{end.pod} {words[0]}, also when it is asked directly", text, "", end.pod)


def _node(
    sick: Sequence[_Sick], cells: Sequence[Cell], tallies: Tallies, dead: dict[str, Expected], directs: Directs
) -> Iterator[Diagnosis]:
    node = sick[0].cell.node
    for promise in dict.fromkeys(each.cell.promise for each in sick):
        of_port = [each for each in sick if each.cell.promise == promise]
        row = [cell for cell in cells if cell.promise == promise and cell.node == node and cell.endpoints]
        if row and all(tallies.of(cell).both.n and not tallies.of(cell).both.answered for cell in row):
            yield _dead_row(of_port[0], row, tallies)
            continue
        for each in of_port:
            yield from _silent_or_uneven(each, dead, directs)
            if "responders" in each.failed:
                told = f"{each.cell.nodeport} of {node} is answered by {listed(each.counts.wrong)}"
                yield Diagnosis("misrouted", told, f"Seen: {each.failed['responders'].summary}.", node)


def _dead_row(sick: _Sick, row: Sequence[Cell], tallies: Tallies) -> Diagnosis:
    cell = sick.cell
    how = outcomes(sum((tallies.of(each).both for each in row), Counts()))
    text = (
        f"Seen: from {', '.join(each.vantage for each in row)} nothing is answered: {how}. "
        f"What to do: see whether the forwarder of {cell.node} runs and listens there, and what stands before it."
    )
    return Diagnosis("node-silent", f"{cell.node} answers nobody on {cell.nodeport} ({cell.service})", text, cell.node)


def _silent_or_uneven(sick: _Sick, dead: dict[str, Expected], directs: Directs) -> Iterator[Diagnosis]:
    cell, node = sick.cell, sick.cell.node
    silent = set(unseen_pods(cell, sick.counts)) if "coverage" in sick.failed else set()
    for end in cell.endpoints:
        asked = _asked(end, cell, directs).get(node, Direct.UNKNOWN)
        if end.pod not in silent or end.pod in dead:
            continue
        if asked not in WELL:
            title = f"{node} does not get through to {end.pod}"
            text = f"Seen: from {node} it {asked} when asked directly, from others it answers. Look at the way between."
            yield Diagnosis("endpoint-out-of-reach", title, text, node, end.pod)
        else:
            text = f"Seen: {sick.failed['coverage'].summary}. See whether the forwarder of {node} lists it."
            yield Diagnosis("endpoint-left-out", f"{node} sends nothing to {end.pod}", text, node, end.pod)
    if "spread" in sick.failed:
        spread = sick.failed["spread"]
        pod = str(spread.evidence.get("suspect", ""))
        title = f"{node} gives {pod} {spread.evidence.get('alternative', 'another share')}"
        text = f"Seen: {spread.summary}. See which weight the forwarder of {node} has for it."
        yield Diagnosis("endpoint-weight", title, text, node, pod)
