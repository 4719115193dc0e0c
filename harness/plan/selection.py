"""Which pods a Service's selector means, by an index over labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.model.workload import Labels, Service
from harness.plan.ports import key
from harness.plan.wanted import WantedPod

Selected = dict[str, list[WantedPod]]
"""The pods of each Service, by the Service's key, in the order in which the index got them."""


class PodIndex:
    """The pods by namespace and label, for thousands of Services over thousands of pods."""

    def __init__(self, pods: Iterable[WantedPod]) -> None:
        self._pods: defaultdict[str, list[WantedPod]] = defaultdict(list)
        self._carriers: defaultdict[tuple[str, str, str], list[WantedPod]] = defaultdict(list)
        self._values: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for pod in pods:
            self._pods[pod.namespace].append(pod)
            for label, value in pod.labels.items():
                self._carriers[pod.namespace, label, value].append(pod)
                self._values[pod.namespace][label].add(value)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that have pods, sorted."""
        return sorted(self._pods)

    def carriers(self, namespace: str, label: str, value: str) -> Sequence[WantedPod]:
        """The pods of a namespace that carry one label with this value."""
        return self._carriers.get((namespace, label, value), ())

    def labels(self, namespace: str) -> list[str]:
        """The label keys in use in a namespace, sorted."""
        return sorted(self._values.get(namespace, {}))

    def values(self, namespace: str, label: str) -> list[str]:
        """The values of one label in use in a namespace, sorted."""
        return sorted(self._values[namespace][label]) if namespace in self._values else []

    def select(self, namespace: str, selector: Labels) -> list[WantedPod]:
        """The pods of a namespace that carry every label of ``selector``; none for an empty one (API rule)."""
        if not selector:
            return []
        rarest = min((self.carriers(namespace, *pair) for pair in selector.items()), key=len)
        wanted = selector.items()
        return [pod for pod in rarest if all(pod.labels.get(label) == value for label, value in wanted)]


def select_all(services: Iterable[Service], index: PodIndex) -> Selected:
    """The pods of every Service."""
    return {key(service): index.select(service.namespace, service.selector) for service in services}
