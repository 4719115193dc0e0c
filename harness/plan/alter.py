"""What a person asks of objects that were applied before: other replicas, a restart, fewer objects. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.model.workload import Ignored, ReplicaSet, Workload

_WORDS = {
    "Deployment": ("deploy", "deployment", "deployments", "deployment.apps"),
    "ReplicaSet": ("rs", "replicaset", "replicasets", "replicaset.apps"),
    "Service": ("svc", "service", "services"),
    "Pod": ("po", "pod", "pods"),
}
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words}
_GROUPS = {"Deployment": "deployment.apps", "ReplicaSet": "replicaset.apps"}


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One object: its kind as in manifests, namespace and name."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def read(cls, text: str, namespace: str) -> Reference:
        """``deploy/web`` as kubectl understands it, in ``namespace``.

        Raises :class:`UsageError` for anything else.
        """
        word, slash, name = text.partition("/")
        if not slash or not name or word.lower() not in _KIND_OF:
            known = ", ".join(f"{words[0]}/NAME" for words in _WORDS.values())
            raise UsageError(f"{text!r} is no object", hint=f"write {known}")
        return cls(_KIND_OF[word.lower()], namespace, name)

    @property
    def plain(self) -> str:
        """``deployment.apps/web``, as kubectl prints it."""
        return f"{self.group}/{self.name}"

    @property
    def group(self) -> str:
        """``deployment.apps``."""
        return _GROUPS.get(self.kind, self.kind.lower())


def objects(workload: Workload) -> tuple[Reference, ...]:
    """All objects of a workload that make pods or traffic, those that select before those that are selected."""
    found = [Reference("Service", each.namespace, each.name) for each in workload.services]
    found += [Reference("Service", each.namespace, each.name) for each in workload.ignored if each.kind == "Service"]
    found += [Reference("EndpointSlice", each.namespace, each.name) for each in workload.endpoint_slices]
    found += [Reference(each.kind, each.namespace, each.name) for each in workload.replica_sets]
    return (*found, *(Reference("Pod", each.namespace, each.name) for each in workload.pods))


def replica_set(workload: Workload, wanted: Reference) -> ReplicaSet:
    """The Deployment or ReplicaSet that is meant.

    Raises :class:`UsageError` that names those there are.
    """
    for each in workload.replica_sets:
        if Reference(each.kind, each.namespace, each.name) == wanted:
            return each
    raise missing(workload, wanted)


def missing(workload: Workload, wanted: Reference) -> UsageError:
    """That there is no such object, and which of its kind there are."""
    known = [f"{each.namespace}/{each.name}" for each in objects(workload) if each.kind == wanted.kind]
    return UsageError(
        f'{wanted.group} "{wanted.name}" not found in namespace {wanted.namespace}',
        hint=f"there are: {', '.join(known)}" if known else "none was applied",
    )


def scaled(workload: Workload, wanted: Reference, replicas: int) -> Workload:
    """With so many replicas of one Deployment or ReplicaSet.

    Raises :class:`UsageError` when there is none of that name.
    """
    found = replica_set(workload, wanted)
    return _with(workload, replace(found, replicas=replicas), found)


def restarted(workload: Workload, wanted: Reference, at: str) -> Workload:
    """With new pods for one Deployment; ``at`` is the time, which makes another template of it.

    Raises :class:`UsageError` when there is none of that name.
    """
    found = replica_set(workload, wanted)
    return _with(workload, replace(found, restarted_at=at), found)


def all_restarted(workload: Workload, at: str) -> Workload:
    """The same for every Deployment and ReplicaSet."""
    return replace(workload, replica_sets=tuple(replace(each, restarted_at=at) for each in workload.replica_sets))


def _with(workload: Workload, new: ReplicaSet, old: ReplicaSet) -> Workload:
    return replace(workload, replica_sets=tuple(new if each is old else each for each in workload.replica_sets))


def without(workload: Workload, gone: Sequence[Reference]) -> Workload:
    """With fewer objects; the endpoints that a user gave to a Service stay without effect, as in Kubernetes."""

    def stays(kind: str, namespace: str, name: str) -> bool:
        return Reference(kind, namespace, name) not in gone

    def stays_ignored(each: Ignored) -> bool:
        return stays(each.kind, each.namespace, each.name)

    return replace(
        workload,
        pods=tuple(each for each in workload.pods if stays("Pod", each.namespace, each.name)),
        services=tuple(each for each in workload.services if stays("Service", each.namespace, each.name)),
        replica_sets=tuple(each for each in workload.replica_sets if stays(each.kind, each.namespace, each.name)),
        endpoint_slices=tuple(
            each for each in workload.endpoint_slices if stays("EndpointSlice", each.namespace, each.name)
        ),
        ignored=tuple(each for each in workload.ignored if stays_ignored(each)),
    )


def kept_from(workload: Workload, earlier: Workload) -> Workload:
    """With what manifests do not say and applying them again does not undo: the time of the last restart."""
    restarts = {(each.kind, each.namespace, each.name): each.restarted_at for each in earlier.replica_sets}
    return replace(
        workload,
        replica_sets=tuple(
            replace(each, restarted_at=restarts.get((each.kind, each.namespace, each.name), ""))
            for each in workload.replica_sets
        ),
    )
