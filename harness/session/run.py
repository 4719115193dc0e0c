"""A whole run, from manifests to a report: the phases in order, and what happens when one of them breaks.

    read → up → plan → apply → verify → report → down

A report is written whatever happens once nodes are touched; a failure also leaves the tar of ``collect``. Nodes that
this run made are removed again as ``destroy`` says; nodes that it found running are never removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from harness import expect, manifests, plan
from harness.drivers import Wish
from harness.errors import HarnessError, RigError, UsageError
from harness.model.cluster import Cluster, Missing
from harness.model.plan import Plan
from harness.model.progress import Listener
from harness.model.run import Run
from harness.model.verdict import Status, Verdict
from harness.session import apply, collect, foreign, nodes, record, sources, survey
from harness.session.lab import Lab
from harness.session.phases import Phases
from harness.support import clock
from harness.verdicts import EVERYTHING, Selection


class Destroy(StrEnum):
    """When nodes that a run made are removed at its end."""

    PASSING = "passing"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(slots=True)
class _Story:
    """What is known of a run so far; a report can be made of it at any moment."""

    lab: Lab
    folder: Path
    phases: Phases
    sources: Sequence[tuple[str, bytes]] = ()
    selection: Selection = EVERYTHING
    cluster: Cluster | None = None
    plan: Plan | None = None
    found: survey.Survey | None = None
    broken: str = ""
    taken_over: Mapping[str, str] = field(default_factory=dict)
    """What becomes of the pods of machines that cannot be used, by machine."""
    started: str = field(default_factory=lambda: clock.now().isoformat(timespec="seconds"))
    began: float = field(default_factory=clock.monotonic)

    def run(self) -> Run:
        """The run as a value; one that broke has an ERROR verdict that says why."""
        run = Run(
            id=str(self.folder.relative_to(self.folder.parents[3])),
            lab=self.lab.name,
            driver=self.lab.driver_name,
            started=self.started,
            seconds=clock.monotonic() - self.began,
            phases=tuple(self.phases.done),
            plan=self.plan,
            provenance=record.provenance(self.sources) | self.selection.provenance,
        )
        if self.found is not None:
            run = self.found.onto(run)
        if self.cluster is not None:
            run = replace(run, verdicts=(*run.verdicts, *map(self._missing, self.cluster.missing)))
        if self.broken:
            rig = Verdict("rig", self.lab.name, Status.ERROR, self.broken)
            run = replace(run, verdicts=(*run.verdicts, rig))
        return run

    def _missing(self, machine: Missing) -> Verdict:
        told = "; ".join([f"cannot be used: {machine.why}", *filter(None, [self.taken_over.get(machine.name)])])
        return Verdict("rig", machine.name, Status.ERROR, told, node=machine.name)


def run(
    lab: Lab,
    paths: Sequence[str],
    wish: Wish | None,
    destroy: Destroy,
    listener: Listener,
    selection: Selection = EVERYTHING,
) -> Run:
    """Everything, from manifests to a report in the lab's run folder.

    Raises :class:`harness.errors.InputError` when the manifests are wrong, and :class:`UsageError` when
    ``selection`` fits no check; then no node was told anything. A broken
    rig is not raised: it is in the run's verdicts, and in the report.
    """
    given = sources.read(paths)
    manifests.parse(given)
    with lab.changing():
        made_here = lab.driver.makes_nodes and lab.driver.status() is None
        story = _Story(lab, lab.new_run(), Phases(listener), sources=given, selection=selection)
        with _told(story, destroy if made_here else Destroy.NEVER):
            with story.phases.phase("up") as summary:
                story.cluster = nodes.up(lab, wish, listener)
                summary.text = nodes.summary(story.cluster)
            _apply(story, story.cluster)
            _verify(story, story.cluster)
        return story.run()


def apply_only(lab: Lab, paths: Sequence[str], listener: Listener) -> Plan:
    """Plan and converge the nodes that run, and return the plan they run now.

    Raises :class:`harness.errors.HarnessError`; also when machines are missing, once the others run the plan.
    """
    given = sources.read(paths)
    manifests.parse(given)
    with lab.changing():
        cluster = nodes.usable(lab, listener)
        applied = _apply(_Story(lab, lab.new_run(), Phases(listener), sources=given), cluster)
        nodes.complain(cluster)
        return applied


def verify_only(lab: Lab, listener: Listener, selection: Selection = EVERYTHING) -> Run:
    """Probe and judge what was applied last, and write a report.

    Raises :class:`harness.errors.RigError` when no nodes run or nothing was applied to them, and
    :class:`UsageError` when ``selection`` fits no check.
    """
    cluster = lab.cluster()
    applied = lab.applied_plan(cluster)
    if applied is None:
        raise RigError("nothing was applied to these nodes yet", hint="harness apply -f PATH")
    survey.wanted(cluster, applied, selection)
    story = _Story(lab, lab.new_run(), Phases(listener), selection=selection, cluster=cluster, plan=applied)
    with _told(story, Destroy.NEVER):
        _verify(story, cluster)
    return story.run()


def verify_promised(lab: Lab, look: foreign.Look, listener: Listener, selection: Selection = EVERYTHING) -> Run:
    """Probe and judge machines that this project did not set up; nothing there is changed, or collected.

    Raises :class:`UsageError` when ``selection`` fits no check.
    """
    look.cells(selection)
    promised = expect.as_plan(look.expectation, look.cluster.nodes)
    story = _Story(lab, lab.new_run(), Phases(listener), look.sources, selection, plan=promised)
    with _told(story, Destroy.NEVER):
        _judge(story, lambda: foreign.survey(look, listener, selection))
    return story.run()


def _apply(story: _Story, cluster: Cluster) -> Plan:
    with story.phases.phase("plan") as summary:
        before = story.lab.applied_plan(cluster)
        workload, renewal = apply.renewed(story.lab, before, apply.wanted_workload(story.lab, story.sources))
        asked = apply.with_choices(story.lab, cluster).nodes
        story.plan = plan.build(workload, asked, cluster.uid, before)
        story.taken_over = plan.taken_over(before, story.plan, [machine.name for machine in cluster.missing])
        ports = sum(port.node_port is not None for service in story.plan.services for port in service.ports)
        counted = f"{len(story.plan.pods)} pods, {ports} nodePorts, generation {story.plan.generation}"
        summary.text = "; ".join([counted, *filter(None, [renewal]), *story.taken_over.values()])
        if not story.selection.everything:
            survey.wanted(cluster, story.plan, story.selection)
    with story.phases.phase("apply") as summary:
        done = apply.converge(story.lab, cluster, workload, story.plan, story.folder, story.phases.listener)
        story.plan = story.lab.applied_plan(cluster) or story.plan
        changed = sum(recap.changed for recap in done.recaps)
        said = "".join(f"; {text}" for text in done.said)
        summary.text = f"every node runs generation {story.plan.generation}; {changed} tasks changed something{said}"
    return story.plan


def _verify(story: _Story, cluster: Cluster) -> None:
    plan = story.plan
    assert plan is not None  # noqa: S101 - both callers set it first
    _judge(story, lambda: survey.survey(cluster, plan, story.phases.listener, story.selection))


def _judge(story: _Story, look: Callable[[], survey.Survey]) -> None:
    with story.phases.phase("verify") as summary:
        story.found = look()
        record.write_attempts(story.found.attempts, story.folder / "attempts.jsonl")
        summary.text = f"{len(story.found.attempts)} probes judged"


@contextmanager
def _told(story: _Story, destroy: Destroy) -> Iterator[None]:
    """Whatever happens inside ends with a report, a tar if it went wrong, and the nodes removed as ``destroy`` says.

    A Ctrl-C or a wrong ``--focus`` removes what this run made as a passing run would: there is no failure to look at.
    """
    interrupted = False
    mistaken: UsageError | None = None
    try:
        yield
    except UsageError as error:
        mistaken, story.broken = error, str(error)
    except HarnessError as error:
        story.broken = str(error)
    except KeyboardInterrupt:
        interrupted, story.broken = True, "interrupted"
    status = story.run().status
    passing = interrupted or mistaken is not None or status in (Status.PASS, Status.SKIP)
    try:
        if not passing and story.cluster is not None:
            with story.phases.phase("collect") as summary:
                tar = collect.collect(story.cluster, story.lab.home, story.folder / "collect.tar.gz")
                summary.text = f"what explains the failure is in {tar.name}"
        if destroy is Destroy.ALWAYS or (destroy is Destroy.PASSING and passing):
            with story.phases.phase("down") as summary:
                nodes.down(story.lab, story.phases.listener)
                summary.text = "no node is left"
    finally:
        record.write(story.run(), story.folder)
    if interrupted:
        raise KeyboardInterrupt
    if mistaken is not None:
        raise mistaken
