"""From the plan that nodes run to the one they shall run, so that nothing is lost on the way. Pure.

A step changes either which pods run or where traffic goes, on all nodes, before the next one begins. New pods
start before traffic goes to them; a pod that goes is first taken out of the endpoints everywhere (it is *terminating*:
used only when no other is ready, KEP-1669) and only then ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from harness.model.address import rank
from harness.model.plan import Endpoint, Plan, PlannedPod, PlannedPort, PlannedService
from harness.model.workload import Strategy, Workload
from harness.plan import names, waves
from harness.plan.waves import Wave

Owner = tuple[str, str]
"""Namespace, and ``Deployment/name``; for a Pod written as such ``Pod/name``."""


def steps(before: Plan | None, after: Plan, workload: Workload, *, certain: bool = True) -> tuple[Plan, ...]:
    """The plans to bring into force one after the other; the last is ``after``, but for its generation.

    Generations rise whenever traffic goes elsewhere. Old pods leave first and all at once unless it is ``certain`` that
    they can run: a change to them did not fail. Nothing but ``after`` comes out when there is nothing to lose: no plan
    before, or one for other nodes.
    """
    if before is None or not _same_nodes(before, after):
        return (after,)
    rollout = _Rollout(before, after)
    for wave in _merged(before, after, workload, certain=certain):
        rollout.take(wave)
    return rollout.finished()


def _same_nodes(before: Plan, after: Plan) -> bool:
    places = (
        [(node.name, node.address, node.pod_range, node.address6) for node in plan.nodes] for plan in (before, after)
    )
    return before.lab_uid == after.lab_uid and next(places) == next(places)


def _merged(before: Plan, after: Plan, workload: Workload, *, certain: bool) -> Sequence[Wave]:
    """The waves of all owners, those of the same number at the same time."""
    strategies = {(each.namespace, names.owner(each)): each.strategy for each in workload.replica_sets}
    by_owner = [
        waves.of_change(change, strategies.get(owner, Strategy())) if certain else waves.at_once(change)
        for owner, change in changes(before, after).items()
    ]
    return [
        Wave(tuple(pod for wave in row for pod in wave.start), tuple(pod for wave in row for pod in wave.leave))
        for row in zip_longest(*by_owner, fillvalue=Wave())
    ]


def changes(before: Plan, after: Plan) -> dict[Owner, waves.Change]:
    """What becomes of the pods of each owner that has any to lose or to gain."""
    was, shall = {pod.uid for pod in before.pods}, {pod.uid for pod in after.pods}
    old: dict[Owner, list[PlannedPod]] = {}
    new: dict[Owner, list[PlannedPod]] = {}
    stay: Counter[Owner] = Counter()
    for pod in before.pods:
        if pod.uid not in shall:
            old.setdefault(_owner(pod), []).append(pod)
    for pod in after.pods:
        if pod.uid in was:
            stay[_owner(pod)] += 1
        else:
            new.setdefault(_owner(pod), []).append(pod)
    return {
        owner: waves.Change(stay[owner], _over_nodes(old.get(owner, ())), _over_nodes(new.get(owner, ())))
        for owner in sorted(old.keys() | new.keys())
    }


def _owner(pod: PlannedPod) -> Owner:
    return pod.namespace, pod.owner or f"Pod/{pod.name}"


def _over_nodes(pods: Sequence[PlannedPod]) -> tuple[PlannedPod, ...]:
    """One of each node in turn, so that no node loses all of its pods first."""
    seen: dict[str, int] = {}
    turns = []
    for pod in sorted(pods, key=lambda pod: (pod.node, rank(pod.address))):
        seen[pod.node] = seen.get(pod.node, 0) + 1
        turns.append((seen[pod.node], pod.node, pod))
    return tuple(pod for _, _, pod in sorted(turns, key=lambda turn: turn[:2]))


@dataclass(slots=True)
class _Rollout:
    """The plans so far, and who runs, serves and leaves after the last of them (pods by uid)."""

    before: Plan
    after: Plan
    running: dict[str, PlannedPod] = field(init=False)
    serving: set[str] = field(init=False)
    leaving: set[str] = field(default_factory=set)
    plans: list[Plan] = field(init=False)
    was: dict[str, PlannedPod] = field(init=False)
    shall: dict[str, str] = field(init=False)
    earlier: dict[str, PlannedService] = field(init=False)

    def __post_init__(self) -> None:
        self.was = {pod.key: pod for pod in self.before.pods}
        self.shall = {pod.key: pod.uid for pod in self.after.pods}
        self.earlier = {service.key: service for service in self.before.services}
        self.running = {pod.uid: pod for pod in self.before.pods}
        self.serving = set(self.running)
        self.plans = [self.before]

    def take(self, wave: Wave) -> None:
        """Those that were leaving end, and one wave starts; then traffic goes to it, and away from those that leave."""
        self._end_leaving(wave.start)
        self.serving |= {pod.uid for pod in wave.start}
        self._traffic()  # a step of its own: the old ones stay until every node has found the new ones ready
        self.leaving = {pod.uid for pod in wave.leave}
        self.serving -= self.leaving
        self._traffic()

    def finished(self) -> tuple[Plan, ...]:
        """All plans after the first, with the wanted one in the end."""
        self._end_leaving(())
        if self.plans[-1].services != self.after.services:
            self._add(replace(self.plans[-1], services=self.after.services, generation=self.plans[-1].generation + 1))
        generation = self.plans[-1].generation
        if generation == self.before.generation:
            generation = self.after.generation
        last = replace(self.after, generation=generation)
        return (*self.plans[1:-1], last)

    def _end_leaving(self, start: Sequence[PlannedPod]) -> None:
        last = self.plans[-1]
        if self.leaving and not _serve_all(last.services):  # refused first, for a pod that is gone is a black hole
            self._add(replace(last, services=_without_leaving(last.services), generation=last.generation + 1))
        for uid in self.leaving:
            del self.running[uid]
        self.leaving = set()
        self.running |= {pod.uid: pod for pod in start}
        pods = tuple(sorted(self.running.values(), key=lambda pod: pod.key))
        last = self.plans[-1]
        if pods != last.pods:
            self._add(replace(last, pods=pods))

    def _traffic(self) -> None:
        services = tuple(self._service(service) for service in self.after.services)
        last = self.plans[-1]
        if services != last.services:
            self._add(replace(last, services=services, generation=last.generation + 1))

    def _add(self, plan: Plan) -> None:
        self.plans.append(replace(plan, nodes=self.after.nodes, notes=self.after.notes))

    def _service(self, service: PlannedService) -> PlannedService:
        earlier = self.earlier.get(service.key)
        ports = tuple(self._port(service, port, earlier.ports if earlier else ()) for port in service.ports)
        return replace(service, ports=ports)

    def _port(self, service: PlannedService, port: PlannedPort, earlier: Sequence[PlannedPort]) -> PlannedPort:
        """The endpoints that the wanted plan has already, and those of pods of before that still run."""
        found = [each for each in port.endpoints if not each.pod or self.shall[each.pod] in self.serving]
        same = [old for old in earlier if (old.name, old.protocol) == (port.name, port.protocol)]
        for each in (endpoint for old in same for endpoint in old.endpoints if endpoint.pod in self.was):
            pod = self.was[each.pod]
            if pod.uid != self.shall.get(pod.key) and _selects(service.selector, pod.labels):
                found += self._still(each, pod.uid)
        return replace(port, endpoints=tuple(sorted(found, key=lambda each: (rank(each.address), each.port))))

    def _still(self, endpoint: Endpoint, uid: str) -> list[Endpoint]:
        if uid in self.serving:
            return [endpoint]
        return [replace(endpoint, terminating=True)] if uid in self.leaving else []


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def _serve_all(services: Collection[PlannedService]) -> bool:
    """Whether no port is served by leaving pods alone."""
    ports = [port for service in services for port in service.ports if port.endpoints]
    return all(any(not (each.pod and each.terminating) for each in port.endpoints) for port in ports)


def _without_leaving(services: Collection[PlannedService]) -> tuple[PlannedService, ...]:
    def port(port: PlannedPort) -> PlannedPort:
        return replace(port, endpoints=tuple(each for each in port.endpoints if not (each.pod and each.terminating)))

    return tuple(replace(each, ports=tuple(port(one) for one in each.ports)) for each in services)
