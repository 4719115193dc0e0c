"""Probe until the judge knows enough: the loop between traffic and statistics."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_network
from threading import Lock

from harness import probes, verdicts
from harness.model.address import IPFamily
from harness.model.cluster import Cluster
from harness.model.forwarder import FORWARDERS
from harness.model.observation import CLIENTS, OUTSIDE, Attempt, Job, NodeFacts, pod_of
from harness.model.plan import Plan
from harness.model.progress import Listener, Step
from harness.model.run import Run, Share
from harness.model.verdict import Diagnosis, Status, Verdict
from harness.support import clock

ROUNDS = 200
"""More rounds than any survey takes; the judge's own limits end it long before."""

IN_FLIGHT = 64
"""Attempts at once, of all vantage points together, where a forwarder starts a process for each: beyond, clients wait
so long on a busy machine that it would look like a fault."""

EMULATED_IN_FLIGHT = 28
"""The same for nodes whose processors are emulated: an attempt costs them some ten milliseconds."""

EMULATED_SECONDS = 400.0
"""Of one round there: with fewer at once, attempts that nobody answers take longer."""

DEAR = probes.Pace(concurrency=2, each_node=4, answer_seconds=15.0, seconds=1700.0)
"""Both together: an attempt costs an emulated processor more than a tenth of a second, so four at once wait for half a
second, and ten times as long on a machine that has much else to do. Nothing is promised of how quick an answer is."""

TELLING = 5.0
"""Seconds between two lines about how far a round is."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen and what it means."""

    attempts: tuple[Attempt, ...]
    shares: tuple[Share, ...]
    facts: tuple[NodeFacts, ...]
    verdicts: tuple[Verdict, ...]
    diagnoses: tuple[Diagnosis, ...]

    def onto(self, run: Run) -> Run:
        """The run with what this survey found."""
        return replace(run, shares=self.shares, facts=self.facts, verdicts=self.verdicts, diagnoses=self.diagnoses)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a survey is to look at: cells to probe, and verdicts that are known without."""

    cells: tuple[verdicts.Cell, ...]
    known: tuple[Verdict, ...]

    @property
    def vantages(self) -> tuple[str, ...]:
        """Where probes come from."""
        return tuple(dict.fromkeys(_prober(cell.vantage) for cell in self.cells))

    @property
    def homes(self) -> dict[str, str]:
        """The nodes of the pods among them."""
        return {cell.vantage: cell.home for cell in self.cells if pod_of(cell.vantage)}


def wanted(cluster: Cluster, plan: Plan, selection: verdicts.Selection, seed: int = 0) -> Wanted:
    """What of this plan is looked at, as far as a person wants it; ``seed`` draws what is only looked at in part.

    Raises :class:`UsageError` when a pattern fits no check.
    """
    vantages = (OUTSIDE, *(node.name for node in cluster.nodes))
    found: list[verdicts.Cell] = []
    of_family = {IPFamily.V4: cluster.client_address, IPFamily.V6: cluster.client_address6}
    client = {one: {OUTSIDE: address} if address else {} for one, address in of_family.items()}
    known = [*verdicts.judge_plan(plan), *verdicts.left_out(plan, vantages, client[IPFamily.V4])]
    for half in verdicts.halves(plan):
        addresses = client[half.family]
        found += half.kept(verdicts.expectations(half.plan, vantages, addresses))
        wanted_inside = verdicts.inside(half.plan, seed, None if selection.everything else selection.wants_cell)
        found += half.kept(wanted_inside)
        if selection.everything:
            known += half.told(verdicts.sampled(half.plan, len(wanted_inside), seed))
        if half.family is IPFamily.V6:
            known += half.told(verdicts.clients_left_out(half.plan, vantages, addresses))
        clients = cluster.client_range if half.family is IPFamily.V4 else cluster.client_range6
        found += half.kept(verdicts.clients(half.plan, _client_addresses(clients, seed), seed))
        known += () if clients else half.told(verdicts.one_client(half.plan))
        found += half.kept((*verdicts.health_checks(half.plan), *verdicts.large(half.plan)))
    cells = (*found, *verdicts.closed(plan))
    names = [name for cell in cells for name in verdicts.names_of(cell)]
    names += [verdicts.name_of(verdict) for verdict in known]
    selection.check([*names, *(f"node-state: {node.name}" for node in cluster.nodes)])
    return Wanted(selection.of_cells(cells), tuple(known))


def _client_addresses(clients: str, seed: int) -> tuple[str, ...]:
    """Addresses for many clients, drawn from all of theirs: hardly any was used by an earlier run."""
    if not clients:
        return ()
    network = ip_network(clients)
    room = min(network.num_addresses, 2**32)
    most = min(2 * verdicts.MOST_CLIENTS, room - 2)
    drawn = random.Random(seed).sample(range(1, room - 1), most)  # noqa: S311 - no secret
    return tuple(str(network[number]) for number in drawn)


def survey(
    cluster: Cluster, plan: Plan, listener: Listener, selection: verdicts.Selection = verdicts.EVERYTHING
) -> Survey:
    """Probe every nodePort of every node from everywhere, ask the nodes, judge, and explain what is wrong.

    Raises :class:`UsageError` when ``selection`` has a pattern that fits no check.
    """
    seed = secrets.randbelow(2**31)
    look = wanted(cluster, plan, selection, seed)
    cells, vantages = look.cells, look.vantages
    listener(Step(f"probing {len(cells)} cells: {len(vantages)} vantage points × {len(cluster.nodes)} nodes"))
    with (
        ThreadPoolExecutor(max_workers=1) as aside,
        probes.open_probers(
            cluster, vantages, homes=look.homes, pace=pace(cluster, plan, vantages), seed=seed
        ) as probers,
    ):
        asked = aside.submit(probes.ask, cluster, plan)
        tallies, attempts = probe(probers, cells, listener)
        facts = asked.result()
        judged = verdicts.judge(cells, tallies, facts, generation=plan.generation, seed=seed)
        found = selection.of_verdicts((*judged, *look.known))
        diagnoses: tuple[Diagnosis, ...] = ()
        if any(verdict.status in (Status.FAIL, Status.ERROR, Status.INCONCLUSIVE) for verdict in judged):
            listener(Step("looking for the cause"))
            jobs = verdicts.controls(cells, tallies)
            controls = probers.ask(by_vantage(jobs)).attempts
            attempts += controls
            facts = _as_of_now(facts, probes.ask(cluster, plan))
            judged = verdicts.judge(cells, tallies, facts, generation=plan.generation, seed=seed)
            found = selection.of_verdicts((*judged, *look.known))
            diagnoses = verdicts.diagnose(cells, tallies, judged, facts, controls, generation=plan.generation)
    return Survey(tuple(attempts), verdicts.shares(cells, tallies), facts, found, diagnoses)


def pace(cluster: Cluster, plan: Plan, vantages: Sequence[str]) -> probes.Pace:
    """How a survey of these nodes goes about it, so that it does not make healthy ones slow."""
    accepting = any(FORWARDERS[node.backend].accepts for node in plan.nodes)
    if cluster.emulated and accepting:
        return DEAR
    if cluster.emulated:
        return probes.Pace(concurrency=max(2, EMULATED_IN_FLIGHT // len(vantages)), seconds=EMULATED_SECONDS)
    return probes.Pace(concurrency=max(2, IN_FLIGHT // len(vantages))) if accepting else probes.Pace()


def _as_of_now(asked: Sequence[NodeFacts], again: Sequence[NodeFacts]) -> tuple[NodeFacts, ...]:
    """What nodes said first, but the pods that they do not use now (a check may take its time to fail), and what
    became of connections in between."""
    return tuple(
        replace(one, unready=other.unready or one.unready, connections=other.connections.since(one.connections))
        if other.reachable
        else one
        for one, other in zip(asked, again, strict=True)
    )


def probe(
    probers: probes.Probers, cells: Sequence[verdicts.Cell], listener: Listener
) -> tuple[verdicts.Tallies, list[Attempt]]:
    """Ask, count and ask again until every cell is settled; what was counted, and every attempt."""
    tallies = verdicts.Tallies(lost=_lost(probers.lost))
    attempts: list[Attempt] = []
    for _ in range(ROUNDS):
        needs = verdicts.next_round(cells, tallies)
        if not needs:
            break
        watched = Watched(listener, len(attempts), sum(need.attempts for need in needs))
        asked = probers.ask(by_vantage([need.job for need in needs]), heard=watched)
        tallies = verdicts.add(tallies, needs, asked.attempts, _lost(asked.lost), asked.strains)
        attempts.extend(asked.attempts)
        again = sum(need.confirming for need in needs)
        listener(Step(f"{len(attempts)} probes" + (f", {again} cells looked at a second time" if again else "")))
    return tallies, attempts


class Watched:
    """Tells now and then how far a round is; heard of from several threads."""

    def __init__(self, listener: Listener, before: int, wanted: int) -> None:
        self._listener, self._before, self._wanted = listener, before, wanted
        self._done: dict[str, int] = {}
        self._lock = Lock()
        self._told = clock.monotonic()

    def __call__(self, vantage: str, done: int) -> None:
        """A vantage point has made so many attempts of the round."""
        with self._lock:
            self._done[vantage] = done
            if clock.monotonic() - self._told < TELLING:
                return
            self._told = clock.monotonic()
            here = sum(self._done.values())
            self._listener(Step(f"{self._before + here} probes, {here} of {self._wanted} in this round"))


def _prober(vantage: str) -> str:
    """The vantage point whose prober makes the attempts: many clients are all in one place."""
    return OUTSIDE if vantage == CLIENTS else vantage


def _lost(lost: Mapping[str, str]) -> dict[str, str]:
    return {**lost, CLIENTS: lost[OUTSIDE]} if OUTSIDE in lost else dict(lost)


def by_vantage(jobs: Sequence[Job]) -> Mapping[str, list[Job]]:
    """The jobs of each prober."""
    sorted_jobs: dict[str, list[Job]] = {}
    for job in jobs:
        sorted_jobs.setdefault(_prober(job.vantage), []).append(job)
    return sorted_jobs
