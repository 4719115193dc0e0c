"""What is taken away: objects by name or by their manifests, and the pods of a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness import manifests
from harness.errors import UsageError
from harness.plan import alter
from harness.plan.alter import Reference
from harness.session import sources
from harness.session.change import Present, Wish


@dataclass(frozen=True, slots=True)
class Named:
    """Objects by name, and namespaces that go with all that is in them."""

    objects: tuple[Reference, ...]
    namespaces: tuple[str, ...] = ()


def of_manifests(paths: Sequence[str]) -> Named:
    """What manifests have in them.

    Raises :class:`harness.errors.InputError`.
    """
    workload = manifests.parse(sources.read(paths))
    return Named(alter.objects(workload), workload.namespaces)


def without(present: Present, named: Named, *, strict: bool) -> tuple[Wish, tuple[Reference, ...]]:
    """The wish for everything but ``named``, and what of it is there.

    Raises :class:`UsageError` when nothing of it is there; if it is ``strict``, when anything is not.
    """
    known = alter.objects(present.workload)
    replicas = {Reference("Pod", pod.namespace, pod.name): pod.key for pod in present.plan.pods if pod.owner}
    there = [each for each in known if each in named.objects or each.namespace in named.namespaces]
    there += [each for each in named.objects if each in replicas]
    absent = [each for each in named.objects if each not in there]
    if absent and (strict or not there):
        raise alter.missing(present.workload, absent[0])
    wish = present.wish
    leaving = frozenset(replicas[each] for each in there if each in replicas)
    return replace(wish, workload=alter.without(wish.workload, there), leaving=leaving), tuple(there)


def drained(present: Present, node: str, *, force: bool) -> tuple[Wish, tuple[Reference, ...]]:
    """The wish for a cordoned node without pods, and the pods that leave it.

    Raises :class:`UsageError` when there is no such node, or pods are on it that nobody would make anew, unless
    ``force`` says that they may go for good.
    """
    here = [pod for pod in present.plan.pods if pod.node == present.node(node)]
    bare = [Reference("Pod", pod.namespace, pod.name) for pod in here if not pod.owner]
    if bare and not force:
        listed = ", ".join(f"{each.namespace}/{each.name}" for each in bare)
        raise UsageError(
            f"cannot delete Pods that declare no controller: {listed}", hint="--force deletes them for good"
        )
    wish = present.wish
    leaving = [Reference("Pod", pod.namespace, pod.name) for pod in here]
    made_anew = frozenset(pod.key for pod in here if pod.owner)
    workload = alter.without(wish.workload, bare)
    return Wish(workload, wish.cordoned | {node}, made_anew), tuple(leaving)
