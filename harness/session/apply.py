"""From what is wanted to nodes that run it: plan, then converge, step by step where something could be lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import manifests, plan
from harness.converge import hostvars, runner
from harness.converge import variables as variables_file
from harness.errors import ConvergeError
from harness.model.cluster import Cluster
from harness.model.convergence import Convergence, TaskResult, TaskStatus
from harness.model.plan import Plan
from harness.model.progress import Event, Listener, TaskStarted
from harness.model.workload import Workload
from harness.plan import alter
from harness.session import forwarders, settings
from harness.session.lab import Lab
from harness.support import clock
from harness.support.files import write_atomic


def with_choices(lab: Lab, cluster: Cluster) -> Cluster:
    """The nodes of a lab with the forwarders and the pod network that were chosen for them.

    Raises :class:`UsageError` for a forwarder or a node that does not exist.
    """
    settled = settings.read(lab.folder)
    chosen = forwarders.choose(cluster.nodes, lab.forwarders, settled.forwarders)
    return replace(
        cluster,
        nodes=tuple(
            replace(node, pod_network=lab.pod_network or node.pod_network or settled.pod_network or "")
            for node in chosen
        ),
    )


def make_plan(given: Sequence[tuple[str, bytes]], cluster: Cluster, previous: Plan | None) -> Plan:
    """The plan of manifests, as :func:`harness.session.sources.read` gives them, for these nodes. Touches nothing.

    Raises :class:`harness.errors.InputError` with every fault of the first phase that has one.
    """
    return plan.build(manifests.parse(given), cluster.nodes, cluster.uid, previous)


def wanted_workload(lab: Lab, given: Sequence[tuple[str, bytes]]) -> Workload:
    """The objects of manifests, with what was asked of them by other verbs and stays.

    Raises :class:`harness.errors.ManifestError`.
    """
    earlier = lab.kept()
    workload = manifests.parse(given)
    return alter.kept_from(workload, earlier.workload) if earlier and earlier.workload else workload


def converge(
    lab: Lab, cluster: Cluster, workload: Workload, wanted: Plan, folder: Path, listener: Listener
) -> Convergence:
    """Bring the nodes to the plan of a workload; when this returns, every node runs the wanted generation.

    Everything is looked at and mended (``site.yml``); what a change could lose is done in steps before. The plan and
    the workload are kept before the nodes are touched: what is interrupted is carried on by the next one, with
    the same ports, addresses and names.

    Raises :class:`harness.errors.ConvergeError`.
    """
    before, kept = lab.applied_plan(cluster), lab.kept()
    steps = plan.steps(before, wanted, workload, certain=kept is None or not kept.failed)
    first = hostvars.render_steps(before, steps, known=_settled(lab))[:-1] if before else []
    variables = hostvars.render(steps[-1]) | {"nodeport_steps": first}
    done = _Change(lab, cluster, workload, steps, folder, listener).play("site.yml", variables)
    write_atomic(lab.place.programs_file, f"{runner.programs()}\n{runner.pod_programs()}\n")
    return done


def change(
    lab: Lab, cluster: Cluster, workload: Workload, wanted: Plan, folder: Path, listener: Listener
) -> Convergence:
    """The same for nodes that run the plan before, quicker: only what differs is brought to them (``change.yml``).

    That knows of pods and traffic; when the pod network is another one, nodes come or go, or they were given the
    programs of another version, everything is looked at.

    Raises :class:`harness.errors.ConvergeError`.
    """
    before = lab.applied_plan(cluster)
    if before is None or not _settled(lab) or _of_network(before) != _of_network(wanted) or not _up_to_date(lab):
        return converge(lab, cluster, workload, wanted, folder, listener)
    steps = plan.steps(before, wanted, workload)
    variables: dict[str, object] = {"nodeport_steps": hostvars.render_steps(before, steps)}
    return _Change(lab, cluster, workload, steps, folder, listener).play("change.yml", variables)


def _up_to_date(lab: Lab) -> bool:
    """Whether the nodes were given the programs that a change relies on."""
    return _programs(lab)[:1] == [runner.programs()]


def _programs(lab: Lab) -> list[str]:
    """Digests of what the nodes were given last: of all that the roles install or do, and of what runs in pods."""
    file = lab.place.programs_file
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def renewed(lab: Lab, before: Plan | None, workload: Workload) -> tuple[Workload, str]:
    """The workload, restarted where pods run the program of an earlier version, and what to say of that.

    ``before`` is the plan that these nodes were given last.
    It is a restart as people ask for it, within ``maxSurge`` and ``maxUnavailable``: to replace the pods of a node in
    place is all of them at once.
    """
    known = _programs(lab)
    if before is None or not known or known[1:] == [runner.pod_programs()]:
        return workload, ""
    at = clock.now().isoformat(timespec="microseconds")
    return alter.all_restarted(workload, at), "pods of an earlier version are replaced"


def _of_network(each: Plan) -> object:
    return each.pod_network, {(node.name, node.address, node.pod_range) for node in each.nodes}


_PREFLIGHT = "Nothing is in the way"
"""The task that says what is in the way before anything is changed."""

_TOUCHES = (TaskStatus.CHANGED, TaskStatus.FAILED, TaskStatus.UNREACHABLE)

_UNREADY = "does not get ready"
"""What nodeportd says of new pods at which a change stops, and leaves the old ones alone."""


def _settled(lab: Lab) -> bool:
    kept = lab.kept()
    return kept is None or kept.settled


@dataclass(slots=True)
class _Change:
    """One playbook that carries out steps; the lab learns of every step as it begins."""

    lab: Lab
    cluster: Cluster
    workload: Workload
    steps: Sequence[Plan]
    folder: Path
    listener: Listener
    begun: int = 0
    failed: bool = False
    """Whether a node could not carry out a step: then nobody knows how its pods are."""
    touched: bool = False
    """Whether a node may be another one than before."""

    def play(self, playbook: str, variables: dict[str, object]) -> Convergence:
        earlier = self.lab.plan_file.read_text(encoding="utf-8") if self.lab.plan_file.exists() else None
        self.lab.keep(self.steps[0], self.workload, settled=False)
        file = self.folder / "plan.json"
        write_atomic(file, variables_file.as_json(variables))
        try:
            done = runner.play(playbook, self.cluster, file, self.folder / "ansible.log", self._hear)
        except ConvergeError:
            if self.failed:
                self.lab.keep(self.steps[self.begun - 1], self.workload, settled=False, failed=True)
            elif not self.touched and earlier is not None:  # preflight refused: the nodes run what they ran
                write_atomic(self.lab.plan_file, earlier)
            raise
        self.lab.keep(self.steps[-1], self.workload, settled=True)
        return done

    def _hear(self, event: Event) -> None:
        if isinstance(event, TaskStarted) and (number := _step_of(event.task)) > self.begun:
            self.begun = number
            self.lab.keep(self.steps[number - 1], self.workload, settled=False)
        if isinstance(event, TaskResult) and event.status is TaskStatus.FAILED and _UNREADY not in event.message:
            self.failed = self.begun > 0
        if isinstance(event, TaskResult) and event.status in _TOUCHES and event.task != _PREFLIGHT:
            self.touched = True
        self.listener(event)


def _step_of(task: str) -> int:
    """The number of the step that begins with a task of ``change.yml`` or ``converge.yml``, 0 for any other task."""
    number = task.rpartition(", step ")[2]
    return int(number) if number.isdecimal() else 0
