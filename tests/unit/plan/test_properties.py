"""What holds for any workload: spread, addresses, nodePorts, and that nothing moves without need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plan
from harness.model.plan import Plan
from harness.model.workload import Labels, ReplicaSet, Service, ServicePort, ServiceType, Workload
from tests.unit.plan.sample import LAB, deployment, nodes, on_nodes, pod, service, spec

QUICK = settings(max_examples=60, deadline=None)

Thing = TypeVar("Thing")
NAMES = ["api", "db", "web", "web-app"]
PORTS = st.lists(
    st.builds(ServicePort, port=st.integers(1, 5), target_port=st.sampled_from([80, 81]), name=st.just("")),
    min_size=1,
    max_size=3,
    unique_by=lambda port: port.port,
).map(lambda found: tuple(replace(port, name=f"p{port.port}") for port in found))


@st.composite
def replica_sets(draw: st.DrawFn) -> tuple[ReplicaSet, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return tuple(
        deployment(
            name,
            draw(st.integers(0, 9)),
            labels={"app": name, "tier": draw(st.sampled_from(["front", "back"]))},
            template=spec(*draw(st.sampled_from([(80,), (), (80, 81)]))),
            kind=draw(st.sampled_from(["Deployment", "ReplicaSet"])),
        )
        for name in names
    )


@st.composite
def services(draw: st.DrawFn) -> tuple[Service, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    kinds = st.sampled_from([ServiceType.NODE_PORT, ServiceType.NODE_PORT, ServiceType.CLUSTER_IP])
    tiers = st.sampled_from([{}, {"tier": "front"}])
    return tuple(service(name, *draw(PORTS), selector={"app": name, **draw(tiers)}, kind=draw(kinds)) for name in names)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    bare = draw(st.lists(st.sampled_from(NAMES), unique=True))
    pods = tuple(pod(f"bare-{name}", {"app": name}) for name in bare)
    return Workload(pods=pods, replica_sets=draw(replica_sets()), services=draw(services()))


def holds_everywhere(planned: Plan) -> None:
    """What is true of every plan."""
    cluster = IPv4Network("10.244.0.0/16")
    assert len({each.pod_range for each in planned.nodes}) == len(planned.nodes)
    assert all(IPv4Network(each.pod_range).subnet_of(cluster) for each in planned.nodes)
    assert len({each.key for each in planned.pods}) == len(planned.pods)
    assert len({each.uid for each in planned.pods}) == len(planned.pods)
    assert len({each.address for each in planned.pods}) == len(planned.pods)
    for each in planned.pods:
        hosts = list(IPv4Network(planned.node(each.node).pod_range).hosts())
        assert IPv4Address(each.address) in hosts[1:], "a pod's address is a host of its node's range, not the gateway"
    numbers: dict[int, str] = {}
    for each_service in planned.services:
        for port in each_service.ports:
            assert (port.node_port is None) == (each_service.type is ServiceType.CLUSTER_IP)
            if port.node_port is not None:
                assert 30000 <= port.node_port <= 32767
                assert numbers.setdefault(port.node_port, each_service.key) == each_service.key


@QUICK
@given(workloads(), st.integers(1, 6))
def test_a_fresh_plan_is_sound_and_spreads_every_owner_evenly(workload: Workload, size: int) -> None:
    planned = plan.build(workload, nodes(size), LAB, None)
    holds_everywhere(planned)
    assert planned.generation == 1
    for replica_set in workload.replica_sets:
        counts = [
            sum(
                each.node == node.name and each.owner == f"{replica_set.kind}/{replica_set.name}"
                for each in planned.pods
            )
            for node in planned.nodes
        ]
        assert sum(counts) == replica_set.replicas
        assert max(counts) - min(counts) <= 1


@QUICK
@given(workloads(), st.integers(1, 6))
def test_planning_again_changes_nothing(workload: Workload, size: int) -> None:
    first = plan.build(workload, nodes(size), LAB, None)
    assert plan.build(workload, nodes(size), LAB, first) == first


@QUICK
@given(workloads(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_documents_and_labels_does_not_matter(workload: Workload, random: Random, again: bool) -> None:
    def turned(labels: Labels) -> Labels:
        return dict(reversed(list(labels.items())))

    def mixed(things: Sequence[Thing]) -> tuple[Thing, ...]:
        return tuple(random.sample(things, len(things)))

    other = Workload(
        pods=mixed([replace(each, labels=turned(each.labels)) for each in workload.pods]),
        replica_sets=mixed(
            [replace(each, template_labels=turned(each.template_labels)) for each in workload.replica_sets]
        ),
        services=mixed([replace(each, selector=turned(each.selector)) for each in workload.services]),
    )
    first = plan.build(workload, nodes(3), LAB, None)
    second = plan.build(other, nodes(3), LAB, first if again else None)
    assert second == first
    assert plan.dumps(second) == plan.dumps(first)


@QUICK
@given(workloads(), workloads(), st.integers(1, 4), st.integers(1, 4))
def test_from_any_plan_to_any_other(before: Workload, after: Workload, size_before: int, size_after: int) -> None:
    first = plan.build(before, nodes(size_before), LAB, None)
    second = plan.build(after, nodes(size_after), LAB, first)
    holds_everywhere(second)
    old = {each.key: each for each in first.pods}
    survivors = {each.name for each in second.nodes} & {each.name for each in first.nodes}
    freed = {each.address for each in first.pods} - {each.address for each in second.pods if each.key in old}
    for each in second.pods:
        was = old.get(each.key)
        if was and was.node in survivors:
            assert (each.node, each.address) == (was.node, was.address), "a pod moved without need"
        else:
            assert each.address not in freed, "an address was used again at once"
    changed = (first.nodes, first.pods) != (second.nodes, second.pods)
    assert second.generation == 2 or not changed


@QUICK
@given(services(), services())
def test_adding_services_never_moves_a_node_port(some: tuple[Service, ...], others: tuple[Service, ...]) -> None:
    renamed = tuple(replace(each, name=f"{each.name}-2") for each in others)
    first = plan.build(Workload(services=some), nodes(1), LAB, None)
    second = plan.build(Workload(services=some + renamed), nodes(1), LAB, first)
    kept = {each.key: each for each in second.services}
    assert [kept[each.key] for each in first.services] == list(first.services)


@QUICK
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 5))
def test_scaling_moves_no_pod_and_stays_even(sizes: list[int], size: int) -> None:
    previous = None
    for replicas in sizes:
        workload = Workload(replica_sets=(deployment("web", replicas), deployment("api", 4)))
        planned = plan.build(workload, nodes(size), LAB, previous)
        counts = on_nodes(planned, "web")
        assert max(counts) - min(counts) <= 1
        if previous:
            assert [each for each in previous.pods if each.owner == "Deployment/api"] == [
                each for each in planned.pods if each.owner == "Deployment/api"
            ]
            mine = {each.key: each for each in previous.pods if each.owner == "Deployment/web"}
            now = {each.key: each for each in planned.pods if each.owner == "Deployment/web"}
            common = mine.keys() & now.keys()
            assert len(common) == min(len(mine), len(now)), "as many stay as can"
            assert {key: mine[key] for key in common} == {key: now[key] for key in common}
        previous = planned


@QUICK
@given(workloads(), workloads(), st.integers(1, 4))
def test_a_plan_comes_back_from_json_as_it_was(before: Workload, after: Workload, size: int) -> None:
    first = plan.build(before, nodes(size), LAB, None)
    second = plan.build(after, nodes(size), LAB, first)
    for each in (first, second):
        assert plan.loads(plan.dumps(each)).plan == each
        assert plan.dumps(plan.loads(plan.dumps(each)).plan) == plan.dumps(each)
