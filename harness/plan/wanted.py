"""Which pods there shall be: every Pod, and for each Deployment or ReplicaSet its replicas, by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.model.plan import Plan, PlannedNode, PlannedPod
from harness.model.workload import Labels, Pod, PodSpec, Protocol, ReplicaSet, Workload
from harness.plan import names


@dataclass(frozen=True, slots=True)
class WantedPod:
    """A pod with a name and a template, before it has a place.

    ``before`` is the same pod in the previous plan, on whatever node; ``None`` for a new pod.
    """

    namespace: str
    name: str
    owner: str
    template_hash: str
    labels: Labels
    spec: PodSpec
    before: PlannedPod | None = None
    min_ready_seconds: int = 0

    @property
    def key(self) -> str:
        """``namespace/name``: unique within a plan."""
        return f"{self.namespace}/{self.name}"

    @property
    def title(self) -> str:
        """What a person edits to change this pod: ``Deployment web-app`` or ``Pod default/solo``."""
        return self.owner.replace("/", " ", 1) if self.owner else f"Pod {self.key}"

    def port_named(self, name: str, protocol: Protocol) -> int | None:
        """The number of the container port of that name and protocol, ``None`` when there is none."""
        for declared in self.spec.ports:
            if declared.name == name and declared.protocol is protocol:
                return declared.port
        return None


def wanted_pods(
    workload: Workload,
    nodes: Sequence[PlannedNode],
    lab_uid: str,
    previous: Plan | None,
    leaving: Collection[str] = (),
) -> list[WantedPod]:
    """All pods, in an order that does not depend on the order of the manifests: Pods first, then by owner.

    A pod of the previous plan stays as long as its owner has the same template and wants as many, and its key is not
    in ``leaving``.
    """
    before = {pod.key: pod for pod in previous.pods} if previous else {}
    bare = {f"{pod.namespace}/{pod.name}": pod for pod in workload.pods}
    pods = [_bare_pod(bare[key], before.get(key)) for key in sorted(bare)]
    by_owner: dict[tuple[str, str], list[PlannedPod]] = {}
    taken: dict[str, set[str]] = {}
    for pod in before.values():
        taken.setdefault(pod.namespace, set()).add(pod.name)
        if pod.owner and pod.key not in bare and pod.key not in leaving:
            by_owner.setdefault((pod.namespace, pod.owner), []).append(pod)
    for written in workload.pods:
        taken.setdefault(written.namespace, set()).add(written.name)
    for replica_set in sorted(workload.replica_sets, key=lambda each: (each.namespace, each.kind, each.name)):
        older = by_owner.get((replica_set.namespace, names.owner(replica_set)), [])
        pods += _replicas(replica_set, nodes, lab_uid, older, taken.setdefault(replica_set.namespace, set()))
    return pods


def asleep(workload: Workload) -> list[WantedPod]:
    """What Deployments and ReplicaSets with ``replicas: 0`` would run: one pod each, named like its owner."""
    return [
        WantedPod(each.namespace, each.name, names.owner(each), "", each.template_labels, each.template)
        for each in workload.replica_sets
        if not each.replicas
    ]


def _bare_pod(pod: Pod, before: PlannedPod | None) -> WantedPod:
    same = before if before and not before.owner else None
    return WantedPod(pod.namespace, pod.name, "", names.revision(pod.labels, pod.spec), pod.labels, pod.spec, same)


def _replicas(
    replica_set: ReplicaSet, nodes: Sequence[PlannedNode], lab_uid: str, older: Sequence[PlannedPod], taken: set[str]
) -> list[WantedPod]:
    """The pods of one owner: those that stay, then new ones; ``taken`` learns their names."""
    template_hash = names.revision(replica_set.template_labels, replica_set.template, replica_set.restarted_at)
    owner = names.owner(replica_set)
    staying = [pod for pod in older if pod.revision == template_hash]
    staying = _without_surplus(staying, replica_set.replicas, nodes)
    fresh = names.new_pod_names(replica_set, template_hash, lab_uid, replica_set.replicas - len(staying), taken)
    taken.update(fresh)
    both = [(pod.name, pod) for pod in staying] + [(name, None) for name in fresh]
    return [
        WantedPod(
            replica_set.namespace,
            name,
            owner,
            template_hash,
            replica_set.template_labels,
            replica_set.template,
            before,
            replica_set.min_ready_seconds,
        )
        for name, before in both
    ]


def _without_surplus(pods: Sequence[PlannedPod], replicas: int, nodes: Sequence[PlannedNode]) -> list[PlannedPod]:
    """At most ``replicas`` of ``pods``: first those on lost nodes go, then from the node with most, newest first.

    The newest pod of a node is the one with the highest address, as addresses are given in rising order.
    """
    by_node: dict[str, list[PlannedPod]] = {node.name: [] for node in nodes}
    homeless: list[PlannedPod] = []
    for pod in sorted(pods, key=lambda each: (_number(each.address), each.key)):
        by_node.get(pod.node, homeless).append(pod)
    rows = list(by_node.values())
    for _ in range(len(pods) - replicas):
        fullest = max(reversed(rows), key=len)
        (homeless or fullest).pop()
    return [pod for row in [*rows, homeless] for pod in row]


def _number(address: str) -> tuple[int, ...]:
    return tuple(int(part) for part in address.split("."))
