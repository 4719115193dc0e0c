"""Single rules of the plan that the cases do not pin down by themselves."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest

from harness import plan
from harness.errors import PlanError
from harness.model.plan import Plan
from harness.model.workload import Protocol, ServicePort, ServiceType, Workload
from harness.plan import names
from tests.unit.plan.sample import (
    LAB,
    deployment,
    named_spec,
    node_ports,
    nodes,
    on_nodes,
    owned,
    pod,
    service,
    spec,
)


@pytest.mark.parametrize(("limit", "planned"), [(None, None), (2**20, 2**25), (2**26, 2**26)])
def test_the_limit_of_memory_is_planned_but_never_too_small(limit: int | None, planned: int | None) -> None:
    template = replace(spec(), memory_limit=limit)
    built = plan.build(Workload(pods=(pod("web", {}, template),)), nodes(1), LAB, None)
    assert built.pods[0].memory_limit == planned
    assert (names.revision({}, template) == names.revision({}, spec())) == (limit is None)


def test_signs_and_hash_look_like_upstream_s() -> None:
    assert names.safe_encode("0123456789") == "456789bcdf"
    template_hash = names.revision({"app": "web"}, spec(80))
    assert 5 <= len(template_hash) <= 10
    assert set(template_hash) <= set(names.ALPHABET)


def test_the_hash_knows_labels_by_content_and_tells_templates_apart() -> None:
    assert names.revision({"a": "1", "b": "2"}, spec()) == names.revision({"b": "2", "a": "1"}, spec())
    assert names.revision({"a": "1"}, spec()) != names.revision({"a": "2"}, spec())
    assert names.revision({"a": "1"}, spec()) != names.revision({"a": "1"}, spec(image="httpd"))


def test_names_avoid_those_taken() -> None:
    web = deployment("web", 0)
    first, second, third = names.new_pod_names(web, "abc", LAB, 3, ())
    assert names.new_pod_names(web, "abc", LAB, 2, {first}) == [second, third]


def test_two_labs_tell_their_pods_apart() -> None:
    workload = Workload(pods=(pod("solo"),), replica_sets=(deployment("web", 3),))
    one = plan.build(workload, nodes(2), "lab-a", None)
    two = plan.build(workload, nodes(2), "lab-b", None)
    adopted = plan.build(workload, nodes(2), "lab-b", one)
    for other in (two, adopted):
        assert not {each.uid for each in one.pods} & {each.uid for each in other.pods}
    assert {each.key for each in adopted.pods} == {each.key for each in one.pods}
    assert adopted.generation == 2


def test_a_pod_that_comes_back_under_its_old_name_is_another() -> None:
    def with_replicas(replicas: int) -> Workload:
        return Workload(replica_sets=(deployment("web", replicas),))

    first = plan.build(with_replicas(1), nodes(1), LAB, None)
    none = plan.build(with_replicas(0), nodes(1), LAB, first)
    again = plan.build(with_replicas(1), nodes(1), LAB, none)
    assert [each.key for each in again.pods] == [each.key for each in first.pods]
    assert again.pods[0].uid != first.pods[0].uid


def test_a_bare_pod_keeps_its_place_when_its_template_changes() -> None:
    first = plan.build(Workload(pods=(pod("a"), pod("b"), pod("c"))), nodes(2), LAB, None)
    changed = Workload(pods=(pod("a"), pod("b", {"app": "web"}), pod("c")))
    second = plan.build(changed, nodes(2), LAB, first)
    assert [(each.key, each.node, each.address) for each in second.pods] == [
        (each.key, each.node, each.address) for each in first.pods
    ]
    assert [new.uid == old.uid for new, old in zip(second.pods, first.pods, strict=True)] == [True, False, True]


def test_a_pod_written_under_a_generated_name_takes_its_place() -> None:
    web = deployment("web", 2)
    first = plan.build(Workload(replica_sets=(web,)), nodes(1), LAB, None)
    taken = first.pods[0].name
    second = plan.build(Workload(pods=(pod(taken),), replica_sets=(web,)), nodes(1), LAB, first)
    assert len(second.pods) == 3
    (written,) = [each for each in second.pods if each.name == taken]
    assert written.owner == ""
    assert written.address != first.pods[0].address


def test_a_generated_name_is_never_that_of_a_written_pod() -> None:
    web = deployment("web", 2)
    would_be = plan.build(Workload(replica_sets=(web,)), nodes(1), LAB, None).pods[0].name
    both = plan.build(Workload(pods=(pod(would_be),), replica_sets=(web,)), nodes(1), LAB, None)
    assert len({each.key for each in both.pods}) == 3


def test_pods_of_a_lost_node_go_first_when_fewer_are_wanted() -> None:
    first = plan.build(Workload(replica_sets=(deployment("web", 4),)), nodes(2), LAB, None)
    second = plan.build(Workload(replica_sets=(deployment("web", 2),)), nodes(2)[1:], LAB, first)
    assert second.pods == tuple(each for each in first.pods if each.node == "n2")


def test_a_deployment_s_pods_are_not_a_replica_set_s() -> None:
    both = (deployment("web", 2), deployment("web", 2, kind="ReplicaSet"))
    first = plan.build(Workload(replica_sets=both), nodes(1), LAB, None)
    assert sorted(each.owner for each in first.pods) == ["Deployment/web"] * 2 + ["ReplicaSet/web"] * 2


def test_new_pods_go_where_the_owner_has_fewest_then_where_there_are_fewest() -> None:
    first = plan.build(Workload(pods=(pod("a"),), replica_sets=(deployment("web", 1),)), nodes(3), LAB, None)
    assert first.pods[0].node == "n1"
    assert on_nodes(first, "web") == [0, 1, 0]
    more = Workload(pods=(pod("a"),), replica_sets=(deployment("web", 3),))
    assert on_nodes(plan.build(more, nodes(3), LAB, first), "web") == [1, 1, 1]


def test_an_owner_is_spread_even_when_that_leaves_a_node_nearly_empty() -> None:
    api = deployment("api", 6)
    first = plan.build(Workload(replica_sets=(api,)), nodes(2), LAB, None)
    second = plan.build(Workload(replica_sets=(api, deployment("web", 3))), nodes(3), LAB, first)
    assert on_nodes(second, "api") == [3, 3, 0]
    assert on_nodes(second, "web") == [1, 1, 1]


def test_a_full_node_is_left_out_even_by_an_owner_that_has_no_pod_there() -> None:
    api = deployment("api", 253)
    first = plan.build(Workload(replica_sets=(api,)), nodes(1), LAB, None)
    second = plan.build(Workload(replica_sets=(api, deployment("web", 3))), nodes(2), LAB, first)
    assert on_nodes(second, "web") == [0, 3]


def test_a_full_node_gets_no_pod_and_every_address_can_be_had() -> None:
    one = plan.build(Workload(replica_sets=(deployment("web", 253),)), nodes(1), LAB, None)
    full = plan.build(Workload(replica_sets=(deployment("web", 506),)), nodes(2), LAB, one)
    assert on_nodes(full, "web") == [253, 253]
    assert len({each.address for each in full.pods}) == 506


def test_addresses_go_on_after_the_highest_and_wrap_around() -> None:
    previous = None
    seen: list[set[str]] = []
    for change in range(5):
        workload = Workload(replica_sets=(deployment("web", 100, template=spec(80, image=f"web:{change}")),))
        previous = plan.build(workload, nodes(1), LAB, previous)
        seen.append({each.address for each in previous.pods})
    assert "10.244.0.2" in seen[0]
    assert "10.244.0.254" in seen[2]
    assert all(not earlier & later for earlier, later in pairwise(seen))


def test_addresses_just_freed_are_used_when_nothing_else_is_left() -> None:
    web = deployment("web", 253)
    first = plan.build(Workload(replica_sets=(web,)), nodes(1), LAB, None)
    changed = replace(web, template=spec(81))
    second = plan.build(Workload(replica_sets=(changed,)), nodes(1), LAB, first)
    assert {each.address for each in second.pods} == {each.address for each in first.pods}
    assert not {each.uid for each in second.pods} & {each.uid for each in first.pods}


def test_ranges_stay_with_names_and_a_full_cluster_is_256_nodes() -> None:
    every = plan.build(Workload(), nodes(256), LAB, None)
    assert [each.pod_range for each in every.nodes][::255] == ["10.244.0.0/24", "10.244.255.0/24"]
    turned = plan.build(Workload(), list(reversed(nodes(256))), LAB, every)
    assert {each.name: each for each in turned.nodes} == {each.name: each for each in every.nodes}
    assert turned.generation == every.generation
    with pytest.raises(PlanError, match="257 nodes are too many"):
        plan.build(Workload(), nodes(257), LAB, None)


def test_the_range_of_a_node_that_left_is_free_at_once() -> None:
    every = plan.build(Workload(), nodes(256), LAB, None)
    others = [*nodes(255), replace(nodes(256)[255], name="new")]
    assert plan.build(Workload(), others, LAB, every).node("new").pod_range == "10.244.255.0/24"


def test_ports_of_the_upper_band_come_first_then_the_lower_then_none() -> None:
    upper = [service(f"s{number}") for number in range(2682)]
    first = plan.build(Workload(services=tuple(upper)), nodes(1), LAB, None)
    assert {number for (number,) in node_ports(first).values()} == set(range(30086, 32768))
    everything = (*upper, *(service(f"t{number}") for number in range(86)))
    second = plan.build(Workload(services=everything), nodes(1), LAB, first)
    assert node_ports(first).items() <= node_ports(second).items()
    assert {number for (number,) in node_ports(second).values()} == set(range(30000, 32768))
    with pytest.raises(PlanError, match="the nodePort range 30000-32767 is full: 2 more asked for"):
        plan.build(Workload(services=(*everything, service("u"), service("v"))), nodes(1), LAB, second)


def test_a_node_port_does_not_depend_on_the_lab_or_on_other_services() -> None:
    alone = plan.build(Workload(services=(service("web"),)), nodes(1), "lab-a", None)
    many = Workload(services=(service("a"), service("web"), service("z")))
    among = plan.build(many, nodes(1), "lab-b", None)
    assert node_ports(alone)["default/web"] == node_ports(among)["default/web"]


def test_a_held_node_port_is_refused_to_another_but_not_to_its_holder() -> None:
    first = plan.build(Workload(services=(service("b"),)), nodes(1), LAB, None)
    (number,) = node_ports(first)["default/b"]
    wish = ServicePort(80, 80, node_port=number)
    with pytest.raises(PlanError, match=f"default/a: nodePort {number} is already allocated to Service default/b"):
        plan.build(Workload(services=(service("a", wish), service("b"))), nodes(1), LAB, first)
    same = plan.build(Workload(services=(service("b", wish),)), nodes(1), LAB, first)
    assert same == first
    given_up = (service("a", wish), service("b", ServicePort(80, 80, node_port=30001)))
    assert node_ports(plan.build(Workload(services=given_up), nodes(1), LAB, first)) == {
        "default/a": [number],
        "default/b": [30001],
    }
    gone = plan.build(Workload(services=(service("a", wish),)), nodes(1), LAB, first)
    assert node_ports(gone) == {"default/a": [number]}


def test_a_written_node_port_is_never_given_to_another() -> None:
    alone = plan.build(Workload(services=(service("auto"),)), nodes(1), LAB, None)
    (number,) = node_ports(alone)["default/auto"]
    both = Workload(services=(service("auto"), service("z", ServicePort(80, 80, node_port=number))))
    assert node_ports(plan.build(both, nodes(1), LAB, None))["default/auto"] != [number]


def test_a_node_port_once_written_stays_when_it_is_no_longer_written() -> None:
    first = plan.build(Workload(services=(service("web", ServicePort(80, 80, node_port=30008)),)), nodes(1), LAB, None)
    second = plan.build(Workload(services=(service("web"),)), nodes(1), LAB, first)
    assert node_ports(second) == {"default/web": [30008]}


def test_sharing_never_gives_one_number_and_protocol_twice() -> None:
    dns = service(
        "dns",
        ServicePort(53, 53, Protocol.TCP, "a", 30053),
        ServicePort(53, 53, Protocol.UDP, "b"),
        ServicePort(54, 54, Protocol.UDP, "c", 30053),
    )
    numbers = node_ports(plan.build(Workload(services=(dns,)), nodes(1), LAB, None))["default/dns"]
    assert (numbers[0], numbers[2]) == (30053, 30053)
    assert numbers[1] not in (None, 30053)


def test_protocols_that_share_keep_their_number_when_one_leaves_or_joins() -> None:
    tcp, udp = ServicePort(53, 53, Protocol.TCP, "t"), ServicePort(53, 53, Protocol.UDP, "u")
    one = plan.build(Workload(services=(service("dns", tcp),)), nodes(1), LAB, None)
    (number,) = node_ports(one)["default/dns"]
    both = plan.build(Workload(services=(service("dns", udp, tcp),)), nodes(1), LAB, one)
    assert node_ports(both)["default/dns"] == [number, number]
    other = plan.build(Workload(services=(service("dns", udp),)), nodes(1), LAB, both)
    assert node_ports(other)["default/dns"] == [number]


def test_a_named_target_port_is_looked_up_with_its_protocol() -> None:
    pods = (pod("t", {"app": "x"}, named_spec("dns", 53)), pod("u", {"app": "x"}, named_spec("dns", 54, Protocol.UDP)))
    x = service("x", ServicePort(53, "dns", Protocol.TCP, "t"), ServicePort(53, "dns", Protocol.UDP, "u"))
    (planned,) = plan.build(Workload(pods=pods, services=(x,)), nodes(1), LAB, None).services
    assert [[(each.pod, each.port) for each in port.endpoints] for port in planned.ports] == [
        [("default/t", 53)],
        [("default/u", 54)],
    ]


def test_a_selector_means_all_its_labels_in_its_own_namespace() -> None:
    pods = (
        pod("both", {"app": "x", "tier": "a", "more": "1"}),
        pod("one", {"app": "x"}),
        pod("else", {"app": "x", "tier": "b"}),
        pod("both", {"app": "x", "tier": "a"}, namespace="shop"),
    )
    x = service("x", selector={"app": "x", "tier": "a"})
    (planned,) = plan.build(Workload(pods=pods, services=(x,)), nodes(2), LAB, None).services
    assert [each.pod for each in planned.ports[0].endpoints] == ["default/both"]


def test_endpoints_of_one_service_port_change_the_generation() -> None:
    def planned(target: int, previous: Plan | None) -> Plan:
        found = service("x", ServicePort(80, target))
        return plan.build(
            Workload(pods=(pod("x", {"app": "x"}, spec(80, 81)),), services=(found,)), nodes(1), LAB, previous
        )

    first = planned(80, None)
    assert planned(80, first).generation == 1
    assert planned(81, first).generation == 2


@pytest.mark.parametrize(
    ("change", "generation"),
    [
        pytest.param({"kind": ServiceType.CLUSTER_IP}, 2, id="nodes learn that a nodePort is gone"),
        pytest.param({"selector": {"app": "web", "x": "y"}}, 2, id="nodes learn that endpoints are gone"),
        pytest.param({}, 1, id="nothing changes"),
    ],
)
def test_the_generation_grows_with_what_nodes_learn(change: dict[str, object], generation: int) -> None:
    web = deployment("web", 2)
    first = plan.build(Workload(replica_sets=(web,), services=(service("web"),)), nodes(2), LAB, None)
    found = service("web", **change)  # type: ignore[arg-type]  # a table of keyword arguments
    assert plan.build(Workload(replica_sets=(web,), services=(found,)), nodes(2), LAB, first).generation == generation


def test_a_node_s_new_address_reaches_the_others() -> None:
    first = plan.build(Workload(), nodes(2), LAB, None)
    moved = [nodes(2)[0], replace(nodes(2)[1], address="192.168.57.1")]
    assert plan.build(Workload(), moved, LAB, first).generation == 2


def test_a_slip_is_found_among_a_thousand_values_in_time() -> None:
    pods = tuple(pod(f"p{number}", {"app": f"{number}-name-{number}"}) for number in range(1000))
    slips = tuple(service(f"s{number}", selector={"app": f"{number}-nome-{number}"}) for number in range(1000))
    started = time.process_time()
    planned = plan.build(Workload(pods=pods, services=slips), nodes(50), LAB, None)
    assert time.process_time() - started < 4
    for each in planned.services:
        assert f'perhaps `app: "{each.name[1:]}-name-{each.name[1:]}"` is meant' in each.explanation


def test_ten_thousand_services_on_fifty_nodes_are_planned_in_time() -> None:
    sets = tuple(deployment(f"app{number}", 10) for number in range(100))
    open_ones = [service(f"open{n}", selector={"app": f"app{n % 100}"}) for n in range(2500)]
    inner = [service(f"in{n}", selector={"app": f"app{n % 90}"}, kind=ServiceType.CLUSTER_IP) for n in range(7400)]
    wrong = [service(f"wrong{n}", selector={"app": f"apq{n}"}, kind=ServiceType.CLUSTER_IP) for n in range(100)]
    workload = Workload(replica_sets=sets, services=(*open_ones, *inner, *wrong))
    started = time.process_time()
    first = plan.build(workload, nodes(50), LAB, None)
    second = plan.build(workload, nodes(50), LAB, first)
    spent = time.process_time() - started
    assert second == first
    assert len(owned(first, "app7")) == 10
    assert sum(bool(each.explanation) for each in first.services) == 100
    assert spent < 10, "two plans of 5 s each"
