"""Which families of addresses Services get, and what a cluster of one family says (KEP-563)."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from harness import plan
from harness.converge import hostvars
from harness.errors import PlanError
from harness.model.address import IPFamily, IPFamilyPolicy
from harness.model.cluster import Node
from harness.model.plan import Plan
from harness.model.workload import EndpointSlice, Service, ServicePort, SliceEndpoint, SlicePort, Workload
from tests.unit.plan.sample import LAB, SOURCE, deployment, nodes, service

V4, V6 = IPFamily
SINGLE, PREFER, REQUIRE = IPFamilyPolicy


def dual(number: int = 2) -> list[Node]:
    return [dataclasses.replace(node, address6=f"fd00::{place}") for place, node in enumerate(nodes(number), 1)]


def asking(policy: IPFamilyPolicy, *families: IPFamily, **more: object) -> Service:
    asked = dataclasses.replace(service("web"), ip_family_policy=policy, ip_families=families)
    return dataclasses.replace(asked, **more)  # type: ignore[arg-type]


def built(asked: Service, on: list[Node], previous: Plan | None = None) -> Plan:
    workload = Workload(replica_sets=(deployment("web", 2),), services=(asked,))
    return plan.build(workload, on, LAB, previous)


@pytest.mark.parametrize(
    ("policy", "asked", "on_two", "on_one"),
    [
        (SINGLE, (), (V4,), (V4,)),
        (SINGLE, (V4,), (V4,), (V4,)),
        (SINGLE, (V6,), (V6,), None),
        (PREFER, (), (V4, V6), (V4,)),
        (PREFER, (V4,), (V4, V6), (V4,)),
        (PREFER, (V6,), (V6, V4), None),
        (PREFER, (V6, V4), (V6, V4), None),
        (REQUIRE, (), (V4, V6), None),
        (REQUIRE, (V6,), (V6, V4), None),
    ],
)
def test_families(
    policy: IPFamilyPolicy,
    asked: tuple[IPFamily, ...],
    on_two: tuple[IPFamily, ...],
    on_one: tuple[IPFamily, ...] | None,
) -> None:
    (found,) = built(asking(policy, *asked), dual()).services
    assert found.ip_families == on_two
    assert [":" in address for address in found.cluster_addresses] == [each is V6 for each in on_two]
    assert {":" in end.address for end in found.ports[0].endpoints} == {each is V6 for each in on_two}
    if on_one is None:
        with pytest.raises(PlanError, match=r"n1, n2 have no IPv6 address.*--ip-families IPv4,IPv6"):
            built(asking(policy, *asked), nodes(2))
    else:
        assert built(asking(policy, *asked), nodes(2)).services[0].ip_families == on_one


def test_one_node_without_ipv6_makes_a_cluster_of_one_family() -> None:
    mixed = [dual()[0], nodes(2)[1]]
    with pytest.raises(PlanError, match="n2 has no IPv6 address"):
        built(asking(REQUIRE), mixed)
    found = built(asking(PREFER), mixed)
    assert [node.address6 for node in found.nodes] == ["", ""]
    assert found.families == (V4,)


def test_addresses_of_pods_follow_those_of_ipv4() -> None:
    found = built(asking(REQUIRE), dual())
    assert [node.pod_range6 for node in found.nodes] == ["fd00:10:244::/64", "fd00:10:244:1::/64"]
    assert {pod.address: pod.address6 for pod in found.pods} == {
        "10.244.0.2": "fd00:10:244::2",
        "10.244.1.2": "fd00:10:244:1::2",
    }


def test_own_addresses_are_kept_and_those_written_are_given() -> None:
    first = built(asking(REQUIRE), dual())
    again = built(asking(REQUIRE), dual(), first)
    assert again.services[0].cluster_addresses == first.services[0].cluster_addresses
    assert again.generation == first.generation
    written = asking(REQUIRE, cluster_ip="10.96.0.9", cluster_ip6="fd00:10:96::9")
    assert built(written, dual()).services[0].cluster_addresses == ("10.96.0.9", "fd00:10:96::9")


@pytest.mark.parametrize(
    ("address6", "why"),
    [
        ("10.0.0.1", "is not an IPv6 address"),
        ("fe80::1", "cannot serve nodePorts"),
        ("fd00:10:244::5", "lies in fd00:10:244::/56"),
        ("fd00:10:96::5", "lies in fd00:10:96::/112"),
    ],
)
def test_addresses_that_cannot_serve(address6: str, why: str) -> None:
    with pytest.raises(PlanError, match=why):
        built(asking(SINGLE), [dataclasses.replace(nodes(1)[0], address6=address6)])


def test_two_nodes_of_one_address() -> None:
    with pytest.raises(PlanError, match="2 nodes have the address fd00::1"):
        built(asking(SINGLE), [dataclasses.replace(node, address6="fd00::1") for node in nodes(2)])


def test_endpoints_that_users_give_count_in_their_family_alone() -> None:
    def given(name: str, address: str) -> EndpointSlice:
        return EndpointSlice("default", name, "web", (SliceEndpoint(address),), (SlicePort("", 80),), SOURCE)

    asked = asking(SINGLE, V6, selector={}, ports=(ServicePort(80, 80),))
    slices = (given("four", "10.0.0.9"), given("six", "2001:db8::9"))
    found = plan.build(Workload(services=(asked,), endpoint_slices=slices), dual(), LAB, None)
    assert [end.address for end in found.services[0].ports[0].endpoints] == ["2001:db8::9"]


def test_nodes_are_told_of_ipv6_only_where_there_is_any() -> None:
    def part(on: list[Node], asked: Service) -> Any:
        return json.loads(json.dumps(hostvars.render(built(asked, on))))["nodeport_nodes"]["n1"]

    one, two = part(nodes(2), asking(SINGLE)), part(dual(), asking(REQUIRE))
    assert not [key for part in (one["network"], one["pods"][0]) for key in part if "6" in key]
    assert "ip_families" not in str(one)
    assert two["network"]["ipv6"] == {
        "address": "fd00::1",
        "pod_range": "fd00:10:244::/64",
        "gateway": "fd00:10:244::1",
        "cluster_range": "fd00:10:244::/56",
        "routes": [
            {"to": "fd00:10:244:1::/64", "via": "fd00::2", "beside": "10.244.1.0/24"},
            {"to": "fd00:10:96::/112", "via": "fd00:10:244::1"},
        ],
    }
    forwarder = two["forwarder"]
    assert forwarder["addresses"] == ["192.168.56.11", "fd00::1"]
    assert forwarder["services"][0]["ip_families"] == ["IPv4", "IPv6"]
