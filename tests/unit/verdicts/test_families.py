"""A plan of two families, judged as two of one: what is asked of each, and that one half's faults stay its own."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from harness import plan, verdicts
from harness.model.address import IPFamily, IPFamilyPolicy
from harness.model.forwarder import FORWARDERS, Forwarder
from harness.model.observation import OUTSIDE, Facts6, NodeFacts
from harness.model.plan import Plan
from harness.model.workload import Service, Workload
from harness.verdicts.nodestate import faults_of
from tests.unit.plan.sample import LAB, deployment, nodes, service


def planned(*asked: Service, backend: str = "") -> Plan:
    on = [
        dataclasses.replace(node, address6=f"fd00::{place}", forwarder=backend)
        for place, node in enumerate(nodes(2), 1)
    ]
    return plan.build(Workload(replica_sets=(deployment("web", 2),), services=asked), on, LAB, None)


def both(name: str = "web", **more: object) -> Service:
    asked = dataclasses.replace(
        service(name, selector={"app": "web"}), ip_family_policy=IPFamilyPolicy.REQUIRE_DUAL_STACK
    )
    return dataclasses.replace(asked, **more)  # type: ignore[arg-type]


def asked_at(found: Plan) -> dict[str, set[str]]:
    """The addresses of nodes at which each Service's nodePort is asked from outside."""
    addresses: dict[str, set[str]] = {}
    for half in verdicts.halves(found):
        for cell in half.kept(verdicts.expectations(half.plan, (OUTSIDE,))):
            addresses.setdefault(cell.service, set()).add(cell.key.target.address)
    return addresses


def test_each_service_is_asked_in_its_families() -> None:
    four = service("four", selector={"app": "web"})
    six = dataclasses.replace(service("six", selector={"app": "web"}), ip_families=(IPFamily.V6,))
    assert asked_at(planned(both(), four, six)) == {
        "default/web": {"192.168.56.11", "192.168.56.12", "fd00::1", "fd00::2"},
        "default/four": {"192.168.56.11", "192.168.56.12"},
        "default/six": {"fd00::1", "fd00::2"},
    }


def test_a_plan_of_one_family_is_its_own_half() -> None:
    found = plan.build(Workload(services=(service("web"),)), nodes(2), LAB, None)
    (half,) = verdicts.halves(found)
    assert half.plan is found


def test_a_service_of_one_family_is_closed_in_the_other() -> None:
    six = dataclasses.replace(service("six", selector={"app": "web"}), ip_families=(IPFamily.V6,))
    found = [(cell.service, cell.key.target.address, str(cell.depth)) for cell in verdicts.closed(planned(both(), six))]
    assert found == [("default/six", "192.168.56.11", "closed"), ("default/six", "192.168.56.12", "closed")]
    four = plan.build(Workload(services=(service("web"),)), nodes(2), LAB, None)
    assert verdicts.closed(four) == ()


def test_cells_of_ipv6_say_so() -> None:
    _, six = verdicts.halves(planned(both()))
    names = [str(cell) for cell in verdicts.expectations(six.plan, (OUTSIDE, "n1"))]
    assert names[0].startswith("outside → n1 (IPv6), default/web 80 on ")
    inside = [str(cell) for cell in verdicts.inside(six.plan) if cell.way is verdicts.Way.CLUSTER_IP]
    assert inside
    assert all("on ClusterIP [fd00:10:96::" in name and "]:80/TCP" in name for name in inside)


def test_cells_of_both_families_are_no_one_promise() -> None:
    """Else a diagnosis would take the healthy half for part of the broken one."""
    promises = {
        cell.promise
        for half in verdicts.halves(planned(both()))
        for cell in verdicts.expectations(half.plan, (OUTSIDE,))
    }
    assert len(promises) == 2


def test_clients_stick_in_both_families() -> None:
    found = planned(both(affinity_seconds=60))
    depths = [
        {str(cell.depth) for cell in verdicts.expectations(half.plan, (OUTSIDE,))} for half in verdicts.halves(found)
    ]
    assert depths == [{"sticky"}, {"sticky"}]
    assert verdicts.left_out(found, (OUTSIDE,), {}) == ()


def test_a_forwarder_without_ipv6_is_not_asked_there_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    socat = FORWARDERS["socat"]
    lacks = {**socat.lacks, "ipv6": "nodePorts answer at IPv4 addresses alone"}
    without = dataclasses.replace(socat, features=socat.features - {"ipv6"}, lacks=lacks)
    monkeypatch.setitem(cast(dict[str, Forwarder], FORWARDERS), "socat", without)
    found = planned(both(), backend="socat")
    assert asked_at(found) == {"default/web": {"192.168.56.11", "192.168.56.12"}}
    told = [each.summary for each in verdicts.left_out(found, (OUTSIDE,), {}) if each.subject == "default/web on n1"]
    assert told == ["forwarder socat of n1 has no ipv6: nodePorts answer at IPv4 addresses alone"]


def test_an_allow_list_without_a_network_of_a_family_lets_nobody_of_it_in() -> None:
    found = planned(both(allowed_sources=("192.168.56.0/24",)))
    client = {IPFamily.V4: {OUTSIDE: "192.168.56.1"}, IPFamily.V6: {OUTSIDE: "fd00::99"}}
    depths = [
        {str(cell.depth) for cell in verdicts.expectations(half.plan, (OUTSIDE,), client[half.family])}
        for half in verdicts.halves(found)
    ]
    assert depths == [{"spread"}, {"silent"}]


def test_a_node_tells_of_each_half() -> None:
    well = NodeFacts("n1", reachable=True, forwarder_running=True, table_present=True, masquerade_present=True,
                     ip_forward=True)  # fmt: skip
    assert faults_of(dataclasses.replace(well, six=Facts6(True, True, True)), None) == []
    broken = dataclasses.replace(well, six=Facts6(False, False, False, ("fd00::/64 via fd00::2",)))
    assert faults_of(broken, None) == [
        "its nftables table of IPv6 is gone",
        "net.ipv6.conf.all.forwarding is 0",
        "route missing: fd00::/64 via fd00::2",
    ]
    assert verdicts.facts_of(broken, IPFamily.V4) == broken
    assert not verdicts.facts_of(broken, IPFamily.V6).table_present
