"""Verbs that change what was applied before: scale, rollout, delete, cordon, drain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness import plan
from harness.errors import RigError, UsageError
from harness.model.plan import Plan, PlannedPod
from harness.model.progress import Listener
from harness.model.workload import Workload
from harness.session import apply
from harness.session.lab import Lab
from harness.session.nodes import complain, usable
from harness.session.phases import Phases


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be: objects, the nodes that take no new pods, and the pods (keys) that others shall take over from."""

    workload: Workload
    cordoned: frozenset[str]
    leaving: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Present:
    """What is: the objects that were asked for last, the plan that came of them, and whether every node runs it."""

    workload: Workload
    plan: Plan
    settled: bool

    @property
    def wish(self) -> Wish:
        """The wish that changes nothing."""
        return Wish(self.workload, frozenset(node.name for node in self.plan.nodes if node.unschedulable))

    def pod(self, namespace: str, name: str) -> PlannedPod:
        """The pod of that name.

        Raises :class:`UsageError` with the pods there are.
        """
        for pod in self.plan.pods:
            if (pod.namespace, pod.name) == (namespace, name):
                return pod
        known = ", ".join(pod.key for pod in self.plan.pods)
        raise UsageError(f'pod "{name}" not found in namespace {namespace}', hint=f"there are: {known or 'none'}")

    def node(self, name: str) -> str:
        """The name of a node that there is.

        Raises :class:`UsageError` with the nodes there are.
        """
        known = [node.name for node in self.plan.nodes]
        if name not in known:
            raise UsageError(f'node "{name}" not found', hint=f"nodes: {', '.join(known)}")
        return name


def with_workload(now: Present, workload: Workload) -> Wish:
    """The wish for other objects, and else for what is."""
    return replace(now.wish, workload=workload)


def present(lab: Lab) -> Present:
    """What was applied to the nodes that run.

    Raises :class:`RigError` when no nodes run or nothing was applied to them.
    """
    kept = lab.kept()
    if kept is None or kept.workload is None or kept.plan.lab_uid != lab.cluster().uid:
        raise RigError("nothing was applied to these nodes yet", hint="harness apply -f PATH")
    return Present(kept.workload, kept.plan, kept.settled)


def cordon(lab: Lab, node: str) -> bool:
    """Give a node no new pods from now on; whether that is news. Touches no node.

    Raises :class:`harness.errors.HarnessError`.
    """
    return _schedule(lab, node, unschedulable=True)


def uncordon(lab: Lab, node: str) -> bool:
    """The opposite of :func:`cordon`."""
    return _schedule(lab, node, unschedulable=False)


def _schedule(lab: Lab, name: str, *, unschedulable: bool) -> bool:
    with lab.changing():
        before = present(lab)
        now, was = before.plan, before.plan.node(before.node(name))
        nodes = tuple(replace(node, unschedulable=unschedulable) if node.name == name else node for node in now.nodes)
        lab.keep(replace(now, nodes=nodes), before.workload, settled=before.settled)
        return was.unschedulable != unschedulable


def change(lab: Lab, verb: str, alter: Callable[[Present], Wish], listener: Listener) -> Plan:
    """Bring the nodes from what is to what ``alter`` makes of it, losing nothing on the way; the plan they run then.

    Raises :class:`harness.errors.HarnessError`; also when machines are missing, once the others run the plan.
    """
    with lab.changing():
        cluster, now = usable(lab, listener), present(lab)
        wish = alter(now)
        workload, renewal = apply.renewed(lab, now.plan, wish.workload)
        nodes = tuple(replace(node, unschedulable=node.name in wish.cordoned) for node in now.plan.nodes)
        wanted = plan.build(workload, cluster.nodes, cluster.uid, replace(now.plan, nodes=nodes), wish.leaving)
        with Phases(listener).phase(verb) as summary:
            apply.change(lab, cluster, workload, wanted, lab.new_run(), listener)
            done = lab.applied_plan(cluster) or wanted
            without = plan.taken_over(now.plan, done, [machine.name for machine in cluster.missing])
            told = [f"every node runs generation {done.generation}", *filter(None, [renewal]), *without.values()]
            summary.text = "; ".join(told)
        complain(cluster)
        return done
