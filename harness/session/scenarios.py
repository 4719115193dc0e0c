"""What a drill does to the nodes: the list of scenarios, and how the lab is put back afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from harness.drivers import Power
from harness.errors import RigError, UsageError
from harness.model.cluster import Cluster
from harness.model.plan import PlannedPod, PlannedPort, PlannedService
from harness.model.progress import Listener
from harness.model.workload import Workload
from harness.plan import alter
from harness.session import change, power, remote, removal
from harness.session.change import Present, Wish
from harness.session.lab import Lab
from harness.support import clock

RELOADS = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scenario plays: the lab, the Service that is asked, and who is told of moments and of progress."""

    lab: Lab
    cluster: Cluster
    service: PlannedService
    port: PlannedPort
    mark: Callable[[str], None]
    listener: Listener

    def pods(self) -> list[PlannedPod]:
        """The pods that serve it.

        Raises :class:`UsageError` when there is none.
        """
        serving = {endpoint.pod for endpoint in self.port.endpoints}
        found = [pod for pod in change.present(self.lab).plan.pods if pod.key in serving]
        if not found:
            raise UsageError(f"Service {self.service.key} has no pods of ours to do this to")
        return found

    def deployment(self) -> alter.Reference:
        """The Deployment that makes its pods.

        Raises :class:`UsageError` when none does.
        """
        for pod in self.pods():
            kind, _, name = pod.owner.partition("/")
            if kind == "Deployment":
                return alter.Reference(kind, pod.namespace, name)
        raise UsageError(f"no Deployment makes the pods of Service {self.service.key}")

    def on(self, node: str, *words: str) -> None:
        """Run a command on a node, which has to succeed."""
        done = remote.as_root(self.cluster, node, words)
        if not done.ok:
            raise RigError(f"{node}: `{' '.join(words)}`: {done.last_words()}")

    def bring(self, verb: str, alter_it: Callable[[Present], Wish]) -> None:
        """Change what runs, as the verbs do."""
        change.change(self.lab, verb, alter_it, self.listener)


Act = Callable[[Stage], str]
"""Does what the scenario is about and returns the node that was taken away by it, empty when none was."""


class Harm(IntEnum):
    """What a scenario breaks: nothing, as people change things; programs of ours, which come back; a whole node."""

    NOTHING = 0
    PROGRAMS = 1
    NODE = 2


@dataclass(frozen=True, slots=True)
class Play:
    """A scenario of the list: whether it is planned, so that nothing may be lost, and what it breaks."""

    name: str
    title: str
    act: Act
    planned: bool = True
    harm: Harm = Harm.NOTHING


def _restart(stage: Stage) -> str:
    wanted, now = stage.deployment(), clock.now().isoformat(timespec="microseconds")
    stage.bring("rollout", lambda is_: change.with_workload(is_, alter.restarted(is_.workload, wanted, now)))
    return ""


def _scale_up(stage: Stage) -> str:
    return _scale(stage, lambda replicas: max(1, 2 * replicas))


def _scale_down(stage: Stage) -> str:
    return _scale(stage, lambda replicas: (replicas + 1) // 2)


def _scale(stage: Stage, number: Callable[[int], int]) -> str:
    wanted = stage.deployment()

    def altered(now: Present) -> Wish:
        replicas = alter.replica_set(now.workload, wanted).replicas
        return change.with_workload(now, alter.scaled(now.workload, wanted, number(replicas)))

    stage.bring("scale", altered)
    return ""


def _delete_pod(stage: Stage) -> str:
    stage.deployment()
    pod = next(pod for pod in stage.pods() if pod.owner)
    named = removal.Named((alter.Reference("Pod", pod.namespace, pod.name),))
    stage.bring("delete", lambda now: removal.without(now, named, strict=True)[0])
    return ""


def _drain(stage: Stage) -> str:
    node = stage.pods()[-1].node
    stage.bring("drain", lambda now: removal.drained(now, node, force=False)[0])
    return ""


def _reload(stage: Stage) -> str:
    for _ in range(RELOADS):
        for node in stage.cluster.nodes:
            stage.mark(f"nodeportd reloads on {node.name}")
            stage.on(node.name, "systemctl", "reload", "nodeportd.service")
    return ""


def _kill_forwarder(stage: Stage) -> str:
    for node in stage.cluster.nodes:
        stage.mark(f"nodeportd is killed on {node.name}")
        stage.on(node.name, "systemctl", "kill", "--signal=KILL", "nodeportd.service")
    return ""


def _kill_pod(stage: Stage) -> str:
    pod = stage.pods()[0]
    stage.mark(f"{pod.name} is killed on {pod.node}")
    stage.on(pod.node, "systemctl", "kill", "--signal=KILL", _unit(pod))
    return ""


def _unit(pod: PlannedPod) -> str:
    return f"nodeport-pod@{hashlib.sha256(pod.key.encode()).hexdigest()[:8]}.service"


def _reboot(stage: Stage) -> str:
    return _boot(stage, power.reboot, "reboots")


def _cut(stage: Stage) -> str:
    return _boot(stage, power.power_cycle, "loses its power")


def _boot(stage: Stage, how: Callable[[Lab, Sequence[str], Listener], object], what: str) -> str:
    node = stage.pods()[-1].node
    stage.mark(f"{node} {what}")
    how(stage.lab, [node], stage.listener)
    return node


PLAYS = (
    Play("rolling-restart", "Every pod is replaced", _restart),
    Play("scale-up", "Twice as many pods", _scale_up),
    Play("scale-down", "Half as many pods", _scale_down),
    Play("pod-deleted", "A pod is deleted", _delete_pod),
    Play("node-drained", "A node is drained", _drain),
    Play("forwarder-reload", f"nodeportd reloads {RELOADS} times on every node", _reload),
    Play("forwarder-killed", "nodeportd is killed on every node", _kill_forwarder, harm=Harm.PROGRAMS),
    Play("pod-killed", "A pod is killed", _kill_pod, planned=False, harm=Harm.PROGRAMS),
    Play("node-rebooted", "A node reboots", _reboot, planned=False, harm=Harm.NODE),
    Play("node-cut", "A node loses its power", _cut, planned=False, harm=Harm.NODE),
)


def chosen(lab: Lab, names: Sequence[str], *, destructive: bool) -> tuple[Play, ...]:
    """The scenarios of these names; of none: all that may be done here.

    The rule of what is done to nodes unasked, and the only place of it: on nodes that the harness made everything but
    taking a node away, unless it is named; on machines of the user nothing that breaks anything, named or not.
    ``destructive`` asks for the rest. What the driver cannot do is left out.

    Raises :class:`UsageError` for a name that is not there, or not to be done here.
    """
    known = {play.name: play for play in PLAYS}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no scenario {unknown[0]!r}", hint=f"scenarios: {', '.join(known)}")
    if not names:
        unasked = Harm.PROGRAMS if lab.driver.makes_nodes else Harm.NOTHING
        allowed = Harm.NODE if destructive else unasked
        return tuple(play for play in PLAYS if play.harm <= allowed and _possible(lab, play))
    wanted = tuple(known[name] for name in names)
    if broken := [play.name for play in wanted if not _possible(lab, play)]:
        raise UsageError(f"{', '.join(broken)}: the driver {lab.driver_name} does not reboot its nodes")
    harmful = [play.name for play in wanted if play.harm > Harm.NOTHING]
    if harmful and not destructive and not lab.driver.makes_nodes:
        raise UsageError(
            f"{', '.join(harmful)} would break something on machines of yours, which is done only when asked for",
            hint="--destructive asks for it",
        )
    return wanted


def _possible(lab: Lab, play: Play) -> bool:
    return play.harm < Harm.NODE or isinstance(lab.driver, Power)


def put_back(lab: Lab, before: Present, listener: Listener) -> None:
    """As many replicas as before, and no other nodes cordoned."""
    number = {(each.kind, each.namespace, each.name): each.replicas for each in before.workload.replica_sets}

    def with_replicas(workload: Workload) -> Workload:
        sets = (
            replace(each, replicas=number.get((each.kind, each.namespace, each.name), each.replicas))
            for each in workload.replica_sets
        )
        return replace(workload, replica_sets=tuple(sets))

    now = change.present(lab)
    wanted = Wish(with_replicas(now.workload), before.wish.cordoned)
    if wanted != now.wish:
        change.change(lab, "put back", lambda _now: wanted, listener)
