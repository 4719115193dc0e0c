"""Pods of one node that meet by a Service: whom they see, with every pod in a namespace of its own as podctl makes it.

::

    client 10.99.0.2 ── 10.99.0.1 node 10.244.0.1 ── cni0 ┬─ 10.244.0.2 first
    with a pod, 10.244.1.2                                └─ 10.244.0.3 second

All of it in both families, and with bridges that call iptables (br_netfilter) as with such that do not.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.support import netns, process
from tests.lab.nodeportd_rig import NODE, Rig, endpoint, port, service, serving, whole

sys.path.insert(0, str(Path(__file__).parents[2] / "playbooks/roles/workload/files"))
podlinks = importlib.import_module("podlinks")

pytestmark = pytest.mark.lab

NODE6 = "fd00:99::1"
RANGES = ["10.244.0.0/16", "fd00:10:244::/56"]


class Family:
    """The addresses of one family."""

    def __init__(self, node: str, gateway: str, pods: tuple[str, str, str], cluster: str, external: str) -> None:
        self.node, self.gateway, self.cluster, self.external = node, gateway, cluster, external
        self.first, self.second, self.elsewhere = pods


FOUR = Family(NODE, "10.244.0.1", ("10.244.0.2", "10.244.0.3", "10.244.1.2"), "10.96.0.5", "203.0.113.7")
SIX = Family(
    NODE6, "fd00:10:244::1", ("fd00:10:244::2", "fd00:10:244::3", "fd00:10:244:1::2"), "fd00:10:96::5", "2001:db8::7"
)
FAMILIES = (FOUR, SIX)


class Neighbours(Rig):
    """The rig with two pods on a bridge, and another node's pod where the client is."""

    def __init__(self, folder: Path, *, calls: int) -> None:
        super().__init__(folder)
        self.second = f"{self.pod}2"
        self._calls = calls

    def _namespaces(self) -> None:
        for name in (self.client, self.node, self.pod, self.second):
            self._undo.enter_context(netns.added(name))
            self.ip(name, "link set lo up")
        forwarding = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.send_redirects=0")
        calls = [f"net.bridge.bridge-nf-call-{each}={self._calls}" for each in ("iptables", "ip6tables")]
        silent = "net.ipv4.conf.default.send_redirects=0"
        argv = ["ip", "netns", "exec", self.node, "sysctl", "-qw", *forwarding, silent, *calls]
        process.check(argv, what="forward")
        self.ip(self.node, f"link add client type veth peer name eth0 netns {self.client}")
        self.ip(self.node, "link add cni0 type bridge")
        for name, links in ((self.node, ("client", "cni0")), (self.client, ("eth0",))):
            for link in links:
                self.ip(name, f"link set {link} up")
        for family in FAMILIES:
            self._addresses(family, "64 nodad" if family is SIX else "24")
        for number, name in enumerate((self.pod, self.second), 2):
            self._pod(number, name)

    def _addresses(self, family: Family, prefix: str) -> None:
        client = family.node[:-1] + "2"
        for name, link, address in (
            (self.node, "client", family.node), (self.node, "cni0", family.gateway), (self.client, "eth0", client),
        ):  # fmt: skip
            self.ip(name, f"address add {address}/{prefix} dev {link}")
        self.ip(self.client, f"address add {family.elsewhere} dev lo")
        default = "::/0" if family is SIX else "0.0.0.0/0"
        self.ip(self.client, f"route add {default} via {family.node}")
        self.ip(self.node, f"route add {family.elsewhere} via {client}")
        self.ip(self.node, f"route add {family.cluster} dev cni0")

    def _pod(self, number: int, name: str) -> None:
        self.ip(self.node, f"link add pod{number} type veth peer name eth0 netns {name}")
        self.ip(self.node, f"link set pod{number} master cni0 up")
        self.ip(self.node, f"link set pod{number} type bridge_slave hairpin on")
        ways = [
            podlinks.way_out(family.first if name == self.pod else family.second, family.gateway, everywhere)
            for family, everywhere in ((FOUR, "0.0.0.0/0"), (SIX, "::/0"))
        ]
        argv = ["ip", "netns", "exec", name, "sh", "-euc", podlinks.INSIDE]
        process.check(argv, stdin="".join(ways), what="make a pod")

    def _servers(self) -> None:
        for family in FAMILIES:
            self._undo.enter_context(serving(self.pod, family.first, 80))
            self._undo.enter_context(serving(self.second, family.second, 80))
            self._undo.enter_context(serving(self.client, family.elsewhere, 80))

    def met(self, source: str, address: str, number: int, times: int = 40, bind: str = "") -> set[tuple[str, str]]:
        """Who answered, and whom each of them saw."""
        return {self.ask(number, address=address, source=source, bind=bind) for _ in range(times)}


@pytest.fixture(params=[0, 1], ids=["bridges call nobody", "bridges call iptables"])
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Neighbours]:
    with Neighbours(tmp_path, calls=request.param) as rig:
        yield rig


def state(generation: int, *services: dict[str, Any]) -> dict[str, Any]:
    both = [{**each, "ip_families": ["IPv4", "IPv6"]} for each in services]
    return {**whole(generation, *both, addresses=[NODE, NODE6]), "cluster_ranges": RANGES}


def web(name: str, number: int, *pods: str, cluster: bool = True, external: bool = False, **fields: Any) -> Any:
    """A Service with these pods (``first``, ``second``, ``elsewhere``), and addresses of its own if asked for."""
    nodes = {"elsewhere": "n2"}
    ends = [
        endpoint(getattr(family, pod), node=nodes.get(pod, "n1"), pod=f"default/{pod}")
        for family in FAMILIES
        for pod in pods
    ]
    return service(
        name,
        {**port(number), "endpoints": ends},
        cluster_addresses=[family.cluster for family in FAMILIES if cluster],
        external_addresses=[family.external for family in FAMILIES if external],
        **fields,
    )


def ways(rig: Neighbours, family: Family) -> list[tuple[str, str, str]]:
    """The pods of the node: where each is, its own address and that of the other one."""
    return [(rig.pod, family.first, family.second), (rig.second, family.second, family.first)]


def test_a_pod_sees_the_other_pods_of_its_node_by_the_services_own_address(rig: Neighbours) -> None:
    rig.converge(state(1, web("web", 0, "first", "second", "elsewhere")))
    for family in FAMILIES:
        for source, own, other in ways(rig, family):
            assert rig.met(source, family.cluster, 80) == {
                (own, family.gateway),  # to itself: no answer would leave it
                (other, own),
                (family.elsewhere, own),
            }
        assert rig.met(rig.node, family.cluster, 80) >= {(family.first, family.gateway)}


def test_a_pod_sees_the_other_pods_of_its_node_under_local(rig: Neighbours) -> None:
    local: dict[str, Any] = {"external": True, "external_traffic_policy": "Local"}
    rig.converge(state(1, web("web", 30008, "first", "second", "elsewhere", **local)))
    for family in FAMILIES:
        for source, own, other in ways(rig, family):
            for address, number in ((family.node, 30008), (family.external, 80)):
                assert rig.met(source, address, number) == {
                    (own, family.gateway),
                    (other, own),
                    (family.elsewhere, own),
                }
    rig.converge(state(2, web("web", 30008, "first", "second", **local)))
    for family in FAMILIES:
        # A pod of another node may be answered from elsewhere, so its answer has to come back by this node.
        found = rig.met(rig.client, family.node, 30008, bind=family.elsewhere)
        assert found == {(family.first, family.gateway), (family.second, family.gateway)}


def test_a_pod_is_hidden_where_the_policy_is_cluster(rig: Neighbours) -> None:
    rig.converge(state(1, web("web", 30008, "first", "second", external=True)))
    for family in FAMILIES:
        for source, own, other in ways(rig, family):
            for address, number in ((family.node, 30008), (family.external, 80)):
                assert rig.met(source, address, number) == {(own, family.gateway), (other, family.gateway)}


def test_pods_of_a_node_meet_without_any_service(rig: Neighbours) -> None:
    """Answers go by the node's routing, and stay right after it told them of a shorter way (a redirect)."""
    rig.converge(state(1, web("web", 0, "first", "second")))
    for family in FAMILIES:
        for source, own, other in ways(rig, family):
            assert rig.met(source, other, 80, times=3) == {(other, own)}
    for family in FAMILIES:
        for source, own, other in ways(rig, family):
            assert (other, own) in rig.met(source, family.cluster, 80)


def test_who_is_sent_to_itself_is_known_as_long_as_any_service_leads_there(rig: Neighbours) -> None:
    """Two Services share a pod; one of them goes."""
    only, shared = web("web", 0, "first"), web("other", 30009, "first", "second", cluster=False)
    rig.converge(state(1, only, shared))
    rig.converge(state(2, only))
    for family, table in ((FOUR, "ip"), (SIX, "ip6")):
        assert rig.met(rig.pod, family.cluster, 80, times=3) == {(family.first, family.gateway)}
        assert rig.nft(f"list set {table} nodeport own").count(f"{family.first} . {family.first}") == 1
        assert family.second not in rig.nft(f"list set {table} nodeport own")
    rig.converge(state(3, shared))
    rig.converge(state(4, shared, only))
    for family in FAMILIES:
        assert rig.met(rig.pod, family.cluster, 80, times=3) == {(family.first, family.gateway)}
    found = rig.nodeportd("drift", str(rig.file))
    assert (found.code, found.out) == (0, "")
