"""Machines that this project did not set up, judged by what an expectation file says they promise.

Nothing is installed or changed there. From a node only python3 is needed, over SSH; from outside nothing at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import expect, probes, verdicts
from harness.errors import UsageError
from harness.model.address import IPFamily
from harness.model.cluster import Cluster
from harness.model.expectation import Expectation, Localhost, SourceIP
from harness.model.observation import OUTSIDE, Attempt, Job
from harness.model.progress import Listener, Step
from harness.model.verdict import Status, Verdict
from harness.session import nodes
from harness.session.lab import Lab
from harness.session.survey import Survey, by_vantage, probe

Source = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: the machines, what they promise, and from where; ``sources`` are the files that say so."""

    cluster: Cluster
    expectation: Expectation
    vantages: tuple[str, ...]
    sources: tuple[Source, ...]

    @property
    def addresses(self) -> dict[IPFamily, dict[str, str]]:
        """The outside client's address of each family, if it is known."""
        own = {IPFamily.V4: self.cluster.client_address, IPFamily.V6: self.cluster.client_address6}
        return {family: {OUTSIDE: address} for family, address in own.items() if address}

    def cells(self, selection: verdicts.Selection) -> tuple[verdicts.Cell, ...]:
        """The cells that are wanted.

        Raises :class:`UsageError` when a pattern fits no check.
        """
        found = verdicts.promised(self.expectation, self.cluster.nodes, self.vantages, self.addresses)
        known = [verdicts.name_of(verdict) for verdict in unjudged(self)]
        selection.check([*(name for cell in found for name in verdicts.names_of(cell)), *known])
        return selection.of_cells(found)


def look(lab: Lab, file: Path, listener: Listener, *, outside_only: bool) -> Look:
    """Read what is promised, and find the machines; with ``outside_only`` they are not even asked whether they answer.

    Raises :class:`harness.errors.HarnessError`: faults of the files, or machines that SSH does not reach.
    """
    source = _read(file, str(file))
    objects = tuple(_read(file.parent / name, str(file.parent / name)) for name in expect.objects_of(source))
    made = lab.driver.makes_nodes
    planned = lab.cluster() if made else lab.driver.planned(nodes.usual(lab))
    expectation = expect.parse(source, objects, [node.name for node in planned.nodes])
    if outside_only:
        return Look(planned, expectation, (OUTSIDE,), (source, *objects))
    cluster = planned if made else nodes.up(lab, None, listener)
    every = replace(cluster, nodes=planned.nodes)  # one that SSH does not reach is still probed from elsewhere
    return Look(every, expectation, (OUTSIDE, *(node.name for node in every.nodes)), (source, *objects))


def survey(wanted: Look, listener: Listener, selection: verdicts.Selection = verdicts.EVERYTHING) -> Survey:
    """Probe every promised nodePort of every machine, and judge what was seen."""
    cells = wanted.cells(selection)
    vantages = tuple(dict.fromkeys(cell.vantage for cell in cells))
    seed = secrets.randbelow(2**31)
    listener(Step(f"probing {len(cells)} cells: {len(vantages)} vantage points × {len(wanted.cluster.nodes)} nodes"))
    with probes.open_probers(wanted.cluster, vantages, seed=seed) as probers:
        tallies, attempts = probe(probers, cells, listener)
        judged = verdicts.judge(cells, tallies, seed=seed)
        dealt, orderly = _turns(probers, cells, judged, seed)
        directs: tuple[Attempt, ...] = ()
        if any(verdict.status is Status.FAIL for verdict in judged):
            listener(Step("asking endpoints directly"))
            directs = probers.ask(by_vantage(verdicts.controls(cells, tallies))).attempts
    causes = verdicts.diagnose_promised(cells, tallies, judged, directs)
    found = selection.of_verdicts((*judged, *dealt, *unjudged(wanted)))
    return Survey((*attempts, *orderly, *directs), verdicts.shares(cells, tallies), (), found, causes)


def _turns(
    probers: probes.Probers, cells: Sequence[verdicts.Cell], judged: Sequence[Verdict], seed: int
) -> tuple[tuple[Verdict, ...], tuple[Attempt, ...]]:
    """Whether picks are dealt in turn, where that is promised; a second sample where the first is out of turn."""
    wanted = {cell.key: cell for cell in cells if cell.dealt}
    jobs = verdicts.turns_jobs(cells, [verdict for verdict in judged if verdict.status is not Status.PASS])
    samples = {_key(job): [_of(job, probers.ask_in_order([job]))] for job in jobs}
    for job in jobs:
        first = samples[_key(job)]
        if verdicts.out_of_turn(wanted[_key(job)], first[0]):
            first.append(_of(job, probers.ask_in_order([job])))
    found = verdicts.judge_turns(cells, samples, seed)
    return found, tuple(attempt for each in samples.values() for sample in each for attempt in sample)


def _key(job: Job) -> verdicts.CellKey:
    return verdicts.CellKey(job.vantage, job.target)


def _of(job: Job, attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    return tuple(attempt for attempt in attempts if attempt.target == job.target)


def unjudged(wanted: Look) -> tuple[Verdict, ...]:
    """Promises that could not be looked at from here: said, never passed over."""
    found = []
    for service in wanted.expectation.services:
        if service.localhost is not Localhost.ANY and wanted.vantages == (OUTSIDE,):
            check = "answers" if service.localhost is Localhost.ANSWERS else "closed"
            told = "localhost is asked by the nodes themselves, which --outside-only leaves out"
            found.append(Verdict(check, f"{service.key} on 127.0.0.1", Status.SKIP, told, service=service.key))
        for family in service.families:
            if service.source_ip is not SourceIP.ANY and family not in wanted.addresses:
                six = "6" * (family is IPFamily.V6)
                told = (
                    f"the outside client's own address is not known: set nodeport_client_address{six} in the inventory"
                )
                where = f"{service.key} from outside" + (f" ({family})" if six else "")
                found.append(Verdict("source", where, Status.SKIP, told, service=service.key))
        lacking = [node.name for node in wanted.cluster.nodes if not node.address6]
        if IPFamily.V6 in service.families and lacking:
            told = f"{', '.join(lacking)}: no IPv6 address is known (nodeport_address6 in the inventory)"
            status = Status.FAIL if service.written else Status.SKIP
            found.append(Verdict("answers", f"{service.key} (IPv6)", status, told, service=service.key))
    return tuple(found)


def _read(path: Path, shown: str) -> Source:
    try:
        return shown, path.read_bytes()
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror or error}") from None
