"""Drills: something happens to the nodes while a steady stream of requests goes to each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from harness import probes, verdicts
from harness.errors import RigError, UsageError
from harness.model.cluster import Cluster
from harness.model.drill import Moment, Scenario
from harness.model.observation import Attempt, Target
from harness.model.plan import Plan, PlannedPort, PlannedService
from harness.model.progress import Event, Listener, PhaseEnded, PhaseStarted, TaskStarted
from harness.model.run import Run
from harness.model.workload import Protocol
from harness.session import change, record, scenarios
from harness.session.lab import Lab
from harness.session.phases import Phases
from harness.session.scenarios import Play, Stage
from harness.support import clock

AFTERMATH = 1.5
"""Seconds of requests after what was done was done."""


LEEWAY = 2.0
"""Seconds more than the checks take, on a machine that has other work."""

LONGEST = 8.0
"""Seconds for pods that nobody asks: their unit is started again."""

_MOMENTS = {
    "Bring the pods to what is wanted": "pods start and end",
    "Have nodeportd run the wanted state": "traffic goes elsewhere",
}
"""What tasks of ``change.yml`` are called in a time line."""


def service_port(plan: Plan, wanted: str | None) -> tuple[PlannedService, PlannedPort]:
    """The Service to ask, by name or ``namespace/name`` (else the first that can be), and its first nodePort for TCP.

    Raises :class:`UsageError` when there is none.
    """
    for service in plan.services:
        for port in service.ports:
            if port.node_port and port.protocol is Protocol.TCP and wanted in (None, service.name, service.key):
                return service, port
    known = ", ".join(service.key for service in plan.services) or "none"
    raise UsageError(
        f"there is no Service {wanted!r} with a nodePort for TCP" if wanted else "no Service has a nodePort for TCP",
        hint=f"Services: {known}",
    )


def nothing_applied() -> NoReturn:
    """Raises :class:`RigError`: there is nothing to ask."""
    raise RigError("nothing was applied to these nodes yet", hint="harness apply -f PATH")


def targets(cluster: Cluster, port: PlannedPort) -> list[Target]:
    """The nodePort on every node."""
    assert port.node_port is not None  # noqa: S101 - chosen so
    return [Target(node.name, node.address, port.node_port, port.protocol) for node in cluster.nodes]


def drill(lab: Lab, wanted: str | None, plays: Sequence[Play], rate: float, listener: Listener) -> Run:
    """Carry out scenarios one after the other, judge each, and write a report; ``rate`` is requests a second and node.

    Raises :class:`harness.errors.HarnessError` when a scenario cannot be carried out.
    """
    began, started = clock.monotonic(), clock.now().isoformat(timespec="seconds")
    folder, phases = lab.new_run(), Phases(listener)
    found: list[Scenario] = []
    before = change.present(lab)
    try:
        for play in plays:
            with phases.phase(play.name) as summary:
                found.append(_carry_out(lab, wanted, play, rate, listener))
                summary.text = _summary(found[-1])
    finally:
        scenarios.put_back(lab, before, listener)
    run = Run(
        id=str(folder.relative_to(folder.parents[3])),
        lab=lab.name,
        driver=lab.driver_name,
        started=started,
        seconds=clock.monotonic() - began,
        phases=tuple(phases.done),
        plan=change.present(lab).plan,
        verdicts=tuple(verdict for each in found for verdict in verdicts.judge_drill(each)),
        provenance=record.provenance(),
        scenarios=tuple(found),
    )
    record.write(run, folder)
    lab.show_latest(folder)
    return run


def _summary(found: Scenario) -> str:
    lost = sum(course.lost for course in found.courses)
    asked = sum(course.attempts for course in found.courses)
    return f"{found.title}: {lost} of {asked} requests lost"


@dataclass(slots=True)
class _Watcher:
    """What is heard while a scenario goes on: attempts, and moments worth a mark."""

    listener: Listener
    began: float = field(default_factory=clock.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def mark(self, text: str) -> None:
        self.moments.append(Moment(round(clock.monotonic() - self.began, 3), text))

    def hear(self, event: Event) -> None:
        if isinstance(event, TaskStarted) and event.task in _MOMENTS:
            self.mark(_MOMENTS[event.task])
        if not isinstance(event, PhaseEnded | PhaseStarted):
            self.listener(event)


def _carry_out(lab: Lab, wanted: str | None, play: Play, rate: float, listener: Listener) -> Scenario:
    cluster, before = lab.cluster(), change.present(lab)
    service, port = service_port(before.plan, wanted)
    watcher = _Watcher(listener)
    with probes.steady(cluster, targets(cluster, port), rate, watcher.attempts.extend):
        watcher.began = clock.monotonic()
        stage = Stage(lab, cluster, service, port, watcher.mark, watcher.hear)
        spared = play.act(stage)
        watcher.mark("done")
        ended = clock.monotonic()
        _await_traffic(watcher.attempts, ended + AFTERMATH)
    after = change.present(lab)
    seconds = clock.monotonic() - watcher.began
    return Scenario(
        name=play.name,
        title=play.title,
        service=service.key,
        planned=play.planned,
        rate=rate,
        seconds=seconds,
        ended=ended - watcher.began,
        moments=tuple(watcher.moments),
        courses=tuple(
            verdicts.course(
                node.name,
                [each for each in watcher.attempts if each.target.node == node.name and each.began >= watcher.began],
                _turnover(service, before.plan, after.plan),
                watcher.began,
                seconds,
            )
            for node in cluster.nodes
        ),
        patience=_patience(before.plan, service.key),
        spared=spared,
    )


def _await_traffic(attempts: Sequence[Attempt], until: float) -> None:
    """Until at every node an attempt that began so late is over."""

    def heard() -> None:
        last = {each.target.node: each.began for each in attempts}
        if not last or min(last.values()) < until:
            raise clock.NotYet("it still asks")

    clock.until(heard, what="the requests after the change", within=60.0)


def _patience(plan: Plan, service: str) -> float:
    """So long the slowest check of its pods takes to notice that one is gone, and a little more."""
    uids = _serving(plan, service)
    checks = [pod.check for pod in plan.pods if pod.uid in uids and pod.check]
    times = [check.period_seconds * check.failure_threshold + check.timeout_seconds for check in checks]
    return max(times, default=LONGEST) + LEEWAY


def _turnover(service: PlannedService, before: Plan, after: Plan) -> verdicts.Turnover:
    was, shall = (_serving(plan, service.key) for plan in (before, after))
    return verdicts.Turnover(
        {uid: name for uid, name in was.items() if uid not in shall},
        {uid: name for uid, name in shall.items() if uid not in was},
    )


def _serving(plan: Plan, service: str) -> dict[str, str]:
    keys = {end.pod for each in plan.services if each.key == service for port in each.ports for end in port.endpoints}
    return {pod.uid: pod.name for pod in plan.pods if pod.key in keys}
