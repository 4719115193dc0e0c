"""How pods of several nodes meet: one mode for all, kept until another one is asked for."""

from __future__ import annotations

import pytest

from harness import plan
from harness.errors import PlanError
from harness.model.cluster import Node
from harness.model.plan import Plan
from harness.model.workload import Workload
from harness.probes import routes


def made(*modes: str, previous: Plan | None = None) -> Plan:
    nodes = [Node(f"n{n}", f"192.168.56.1{n}", pod_network=mode) for n, mode in enumerate(modes, 1)]
    return plan.build(Workload(), nodes, "u1", previous)


def test_a_mode_stays_until_another_one_is_asked_for() -> None:
    first = made("", "")
    assert (first.pod_network, first.generation) == ("routes", 1)
    tunnel = made("vxlan", "vxlan", previous=first)
    assert (tunnel.pod_network, tunnel.generation) == ("vxlan", 2), "nodes have to learn of it"
    assert made("", "", previous=tunnel) == tunnel
    assert made("routes", "", previous=tunnel).pod_network == "routes"


@pytest.mark.parametrize(
    ("modes", "said"),
    [
        (("vxlan", "routes"), "the nodes of one cluster have one pod network, not routes on n2, vxlan on n1"),
        (("geneve", ""), r"node n1: there is no pod network 'geneve' \(one of routes, vxlan\)"),
    ],
)
def test_what_cannot_be_is_told(modes: tuple[str, str], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        made(*modes)


def test_routes_are_missed_by_the_way_that_the_mode_has() -> None:
    tunnel, own = made("vxlan", "vxlan"), {"dst": "10.244.0.0/24", "dev": "cni0"}
    there = {"dst": "10.244.1.0/24", "gateway": "10.244.1.1", "dev": "nodeport-vxlan"}
    assert routes.missing(tunnel, "n1", [own, there]) == ()
    assert routes.missing(tunnel, "n1", [own]) == ("10.244.1.0/24 dev nodeport-vxlan",)
    other = {"dst": "10.244.1.0/24", "gateway": "192.168.56.12", "dev": "eth0"}
    assert routes.missing(tunnel, "n1", [own, other])[0].startswith("10.244.1.0/24 dev nodeport-vxlan (there is: ")
