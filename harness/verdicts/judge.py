"""From counts to verdicts. Nothing is tolerated, and nothing is said of which one sample alone is the witness.

=============  ==============================================================  ==================================
check          question                                                        what fails it
=============  ==============================================================  ==================================
answers        is every attempt answered, at the first SYN?                    one failure or late connect, again
               (a slow connect on machines without CPU: see starvation)
responders     do only the Service's own pods answer?                          one stranger, again
coverage       does every pod answer?                                          one silent pod, again
spread         has every pod its fair share?                                   a refuted fair share, again
hairpin        does a pod that asks its own Service reach itself too?          never, where coverage fails
clients        are many clients with affinity dealt enough pods?               too few for luck, again
health-check   does the health check port tell how many endpoints are here?    another answer, again
affinity       does a client stick to one pod, where that is promised?         answers of two pods, again
source         do pods see the client's own address, where that is promised?   another address
refused        is a nodePort without endpoints refused actively?               an answer, or silence, again
closed         does nobody answer where nothing was promised?                  one answer, again
dropped        does a node without a local pod, or one that must not let us    an answer or refusal, again
               in, stay silent, where that is promised?
node-state     does the node say of itself that all is as it should be?        one fact
=============  ==============================================================  ==================================

*Again* means: in stage one and in the fresh sample of stage two. What does not show again is INCONCLUSIVE
(``transient: …``), never PASS: a retry may soften a failure, not undo it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from harness.model.observation import NodeFacts, Outcome, pod_of
from harness.model.verdict import Status, Verdict
from harness.verdicts import checks, starvation
from harness.verdicts.case import Case
from harness.verdicts.expectations import Cell, Depth
from harness.verdicts.nodestate import judge_nodes
from harness.verdicts.sequential import evenness
from harness.verdicts.stages import Budget, Levels, unseen_pods
from harness.verdicts.tally import Tallies

EVEN = 1e-6
"""Picks less random than this by luck are called deterministic, in a note."""


def judge(
    cells: Sequence[Cell],
    tallies: Tallies,
    facts: Sequence[NodeFacts] = (),
    *,
    generation: int | None = None,
    levels: Levels | None = None,
    seed: int | None = None,
) -> tuple[Verdict, ...]:
    """All verdicts of a run, in the order of cells, then of nodes.

    ``generation`` is the one that nodes should run, ``seed`` the prober's, for the evidence. Cells whose vantage
    point was lost are one ERROR together; so are failures that SSH's loss of a node explains.
    """
    budget = Budget.of(cells, levels or Levels())
    unreachable = _unreachable(tallies, facts)
    even = _even_promises(cells, tallies)
    verdicts: list[Verdict] = []
    for cell in cells:
        if cell.vantage in tallies.lost:
            continue
        starved = starvation.of(cell, tallies.strains)
        case = Case(cell, tallies.of(cell), budget, seed, even=cell.promise in even, starved=starved)
        verdicts += [_excused(verdict, cell, tallies, unreachable) for verdict in checks.verdicts(case)]
    unprobed = Counter(cell.vantage for cell in cells if cell.vantage in tallies.lost)
    told = {node.node for node in facts if not node.reachable}
    homes = {cell.vantage: cell.home for cell in cells if pod_of(cell.vantage)}
    verdicts += [
        _closed(vantage, homes[vantage], why, unprobed[vantage])
        if vantage in homes
        else _lost(vantage, why, unprobed[vantage])
        for vantage, why in tallies.lost.items()
        if vantage not in told and homes.get(vantage) not in unreachable
    ]
    return (*verdicts, *judge_nodes(facts, generation, unprobed))


def _unreachable(tallies: Tallies, facts: Sequence[NodeFacts]) -> frozenset[str]:
    return frozenset(tallies.lost) | {node.node for node in facts if not node.reachable}


def _even_promises(cells: Sequence[Cell], tallies: Tallies) -> set[tuple[str, int, str, str]]:
    """Service ports whose picks, over all cells together, are dealt in turn rather than drawn."""
    tables: dict[tuple[str, int, str, str], list[list[int]]] = {}
    for cell in cells:
        if cell.depth is Depth.SPREAD and cell.plain and not cell.weights:
            tables.setdefault(cell.promise, []).append(tallies.of(cell).both.of(cell.endpoints))
    return {promise for promise, counts in tables.items() if evenness(counts) < EVEN}


def _excused(verdict: Verdict, cell: Cell, tallies: Tallies, unreachable: frozenset[str]) -> Verdict:
    """The verdict, or ERROR in place of FAIL when a node that SSH does not reach explains it."""
    unrefused = verdict.check == "refused" and Outcome.REFUSED not in tallies.of(cell).both.failures
    if cell.node in unreachable and unrefused:
        return replace(verdict, status=Status.ERROR, summary=f"{cell.node} is not reachable over SSH either")
    if verdict.status is not Status.FAIL or not unreachable or verdict.check == "responders":
        return verdict
    silent = set(unseen_pods(cell, tallies.of(cell).both))
    homes = {endpoint.node for endpoint in cell.endpoints if endpoint.pod in silent}
    if cell.node in unreachable:
        blamed = cell.node
    elif homes and homes <= unreachable:
        blamed = ", ".join(sorted(homes))
    else:
        return verdict
    why = f"{verdict.summary}; but {blamed} is not reachable over SSH either, so this is put down to the rig"
    return replace(verdict, status=Status.ERROR, summary=why)


def _closed(vantage: str, home: str, why: str, cells: int) -> Verdict:
    """A pod that could not be entered though its node answers: if it is gone, its own checks fail."""
    told = f"{cells} cells could not be asked from here: {why}"
    return Verdict("answers", f"{vantage} → every Service", Status.INCONCLUSIVE, told, node=home, vantage=vantage)


def _lost(vantage: str, why: str, cells: int) -> Verdict:
    told = f"{cells} cells could not be asked from here: {why}"
    return Verdict("answers", f"{vantage} → every nodePort", Status.ERROR, told, node=vantage, vantage=vantage)
