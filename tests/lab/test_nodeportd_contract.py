"""Every promise of a Service that nodeportd keeps beyond NodePort itself, with real traffic, a test for each.

The rig of ``test_nodeportd.py``; pods 2 and 3 count as this node's, 4 and 5 as another one's.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from harness.support import clock, process
from tests.lab.nodeportd_rig import GATEWAY, NODE, PODS, Rig, endpoint, inside, port, service, serving, whole

pytestmark = pytest.mark.lab

CLIENT = "10.99.0.2"
CLUSTER = "10.96.0.5"
EXTERNAL = "203.0.113.7"
HERE, ELSEWHERE = PODS[:2], PODS[2:]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        rig.ip(rig.pod, f"route add default via {GATEWAY}")
        rig.ip(rig.client, f"route add default via {NODE}")
        rig.ip(rig.node, "route add default via 10.99.0.2")
        yield rig


def both(number: int, **fields: Any) -> dict[str, Any]:
    """A Service with two endpoints here and two on another node."""
    ends = [endpoint(pod, node="n1" if pod in HERE else "n2") for pod in PODS]
    return service("web", {**port(number), "endpoints": ends}, **fields)


def answers(rig: Rig, number: int, times: int = 80, **how: Any) -> tuple[set[str], set[str]]:
    """Who answered, and whom they saw."""
    seen = [rig.ask(number, **how) for _ in range(times)]
    return {pod for pod, _ in seen}, {client for _, client in seen}


def silent(rig: Rig, number: int, **how: Any) -> None:
    """The attempt meets silence, not a refusal."""
    with pytest.raises(TimeoutError):
        rig.ask(number, within=0.7, **how)


# ClusterIP and externalIPs


def test_the_own_address_answers_nodes_pods_and_passers_by(rig: Rig) -> None:
    rig.converge(whole(1, both(0, cluster_addresses=[CLUSTER])))
    for source in (rig.node, rig.pod, rig.client):
        assert answers(rig, 80, address=CLUSTER, source=source)[0] == set(PODS)


def test_an_own_address_without_endpoints_is_refused(rig: Rig) -> None:
    rig.converge(whole(1, service("web", port(0), cluster_addresses=[CLUSTER])))
    for source in (rig.node, rig.pod, rig.client):
        with pytest.raises(ConnectionRefusedError):
            rig.ask(80, address=CLUSTER, source=source)


def test_a_headless_service_has_nothing_to_forward(rig: Rig) -> None:
    rig.converge(whole(1, both(0)))
    assert "services {" in rig.nft("list map ip nodeport services")
    assert "elements" not in rig.nft("list map ip nodeport services")


def test_an_external_address_answers_from_everywhere(rig: Rig) -> None:
    rig.converge(whole(1, both(0, external_addresses=[EXTERNAL])))
    for source in (rig.client, rig.node, rig.pod):
        found, saw = answers(rig, 80, address=EXTERNAL, source=source)
        assert (found, saw) == (set(PODS), {GATEWAY})


# Traffic policies


def test_external_local_keeps_the_client_and_to_this_node(rig: Rig) -> None:
    rig.converge(whole(1, both(30008, external_traffic_policy="Local")))
    assert answers(rig, 30008) == (set(HERE), {CLIENT})


def test_external_local_means_all_endpoints_to_the_node_itself_and_to_pods(rig: Rig) -> None:
    rig.converge(whole(1, both(30008, external_traffic_policy="Local")))
    for source in (rig.node, rig.pod):
        assert answers(rig, 30008, source=source)[0] == set(PODS)


def test_external_local_without_an_endpoint_here_is_silent_and_never_refuses(rig: Rig) -> None:
    away = service("web", port(30008), external_traffic_policy="Local")
    away["ports"][0]["endpoints"] = [endpoint(PODS[2], node="n2")]
    rig.converge(whole(1, away))
    silent(rig, 30008)
    assert rig.ask(30008, source=rig.node)[0] == PODS[2]


def test_external_local_without_any_endpoint_is_refused(rig: Rig) -> None:
    rig.converge(whole(1, service("web", port(30008), external_traffic_policy="Local")))
    with pytest.raises(ConnectionRefusedError):
        rig.ask(30008)


def test_internal_local_keeps_to_this_node(rig: Rig) -> None:
    rig.converge(whole(1, both(30008, cluster_addresses=[CLUSTER], internal_traffic_policy="Local")))
    assert answers(rig, 80, address=CLUSTER, source=rig.node)[0] == set(HERE)
    assert answers(rig, 30008)[0] == set(PODS), "the policy of outsiders is its own"


def test_internal_local_without_an_endpoint_here_is_silent(rig: Rig) -> None:
    away = service("web", port(0), cluster_addresses=[CLUSTER], internal_traffic_policy="Local")
    away["ports"][0]["endpoints"] = [endpoint(PODS[2], node="n2")]
    rig.converge(whole(1, away))
    silent(rig, 80, address=CLUSTER, source=rig.client)


def test_a_pod_reaches_itself_by_its_node(rig: Rig) -> None:
    """The answer has to come back through the node, so the pod must not see itself as the client."""
    for turn, policy in enumerate(("Cluster", "Local")):
        own = service("web", port(30008, PODS[0]), cluster_addresses=[CLUSTER], external_traffic_policy=policy)
        rig.converge(whole(1 + turn, own))
        assert rig.ask(30008, source=rig.pod) == (PODS[0], GATEWAY)
        assert rig.ask(80, address=CLUSTER, source=rig.pod) == (PODS[0], GATEWAY)


# Affinity


def stuck(number: int, *pods: str, seconds: int = 600, protocol: str = "TCP") -> dict[str, Any]:
    return service("web", port(number, *pods, protocol=protocol), affinity_seconds=seconds)


def test_a_client_stays_with_its_pod_and_clients_spread(rig: Rig) -> None:
    rig.converge(whole(1, stuck(30008, *PODS)))
    first: set[str] = set()
    for number in range(100, 120):
        rig.ip(rig.client, f"address add 10.99.0.{number}/24 dev eth0")
        seen = {rig.ask(30008, bind=f"10.99.0.{number}")[0] for _ in range(6)}
        assert len(seen) == 1, f"10.99.0.{number} met {seen}"
        first |= seen
    # 20 clients, 4 pods: all at one pod once in 2.7e11 runs.
    assert len(first) > 1


def test_affinity_slides_and_then_ends(rig: Rig) -> None:
    rig.converge(whole(1, stuck(30008, *PODS, seconds=2)))
    began = clock.monotonic()
    pods = set()
    while clock.monotonic() < began + 4:  # twice the timeout: each connection renews it
        pods.add(rig.ask(30008)[0])
    assert len(pods) == 1

    def forgotten() -> None:
        if "expires" in rig.nft("list map ip nodeport clients"):
            raise clock.NotYet("still remembered")

    clock.until(forgotten, what="the client to be forgotten", within=10, every=0.1)


def test_a_removed_endpoint_is_left_at_once_and_others_keep_their_clients(rig: Rig) -> None:
    rig.converge(whole(1, stuck(30008, *PODS)))
    held, _ = rig.ask(30008)
    others = [pod for pod in PODS if pod != held]
    rig.converge(whole(2, stuck(30008, *others)))
    then, _ = rig.ask(30008)
    assert then != held
    rig.converge(whole(3, stuck(30008, *PODS)))
    assert {rig.ask(30008)[0] for _ in range(20)} == {then}


def test_clients_are_remembered_over_a_restart_and_a_whole_replacement(rig: Rig) -> None:
    rig.converge(whole(1, stuck(30008, *PODS)))
    held, _ = rig.ask(30008)
    rig.stop()
    with rig.replacing():
        rig.serve()
    rig.mend()
    assert {rig.ask(30008)[0] for _ in range(20)} == {held}
    found = rig.nodeportd("drift", str(rig.file))
    assert (found.code, found.out) == (0, ""), "whom packets made known is not drift"


# healthCheckNodePort


def health(rig: Rig, number: int) -> tuple[int, dict[str, Any], str]:
    """Status, body and the header with the number of endpoints, asked for from the client."""
    with inside(rig.client):
        connection = HTTPConnection(NODE, number, timeout=3)
        connection.connect()
    connection.request("GET", "/whatever")
    reply = connection.getresponse()
    body = json.loads(reply.read())
    connection.close()
    return reply.status, body, reply.headers["X-Load-Balancing-Endpoint-Weight"]


def test_the_health_check_tells_of_endpoints_on_this_node_that_stay(rig: Rig) -> None:
    fields = {"external_traffic_policy": "Local", "health_check_node_port": 31999}
    rig.converge(whole(1, both(30008, **fields)))
    named = {"namespace": "default", "name": "web"}
    assert health(rig, 31999) == (200, {"service": named, "localEndpoints": 2, "serviceProxyHealthy": True}, "2")
    ending = both(30008, **fields)
    for end in ending["ports"][0]["endpoints"]:
        end["terminating"] = True
    rig.converge(whole(2, ending))
    status, body, weight = health(rig, 31999)
    assert (status, body["localEndpoints"], weight) == (503, 0, "0")
    assert answers(rig, 30008)[0] == set(HERE), "what ends still serves while nothing else does"
    rig.converge(whole(3, both(30008)))
    with pytest.raises(ConnectionRefusedError):
        health(rig, 31999)


def test_a_health_check_that_cannot_be_told_is_said(rig: Rig) -> None:
    with serving(rig.node, NODE, 31999):
        rig.give(whole(1, both(30008, external_traffic_policy="Local", health_check_node_port=31999)))
        rig.serve()
        rig.status(generation=1, error="cannot tell the health of default/web at 10.99.0.1:31999")
        assert rig.ask(30008)[0] in HERE


# Who may


def test_the_allow_list_lets_in_whom_it_names(rig: Rig) -> None:
    rig.ip(rig.client, "address add 10.99.0.77/24 dev eth0")
    rig.converge(whole(1, both(30008, allowed_sources=["10.99.0.77/32", "172.16.0.0/12"])))
    assert rig.ask(30008, bind="10.99.0.77")[0] in PODS
    silent(rig, 30008)
    rig.converge(whole(2, both(30008, allowed_sources=["10.99.0.0/24"])))
    assert rig.ask(30008)[0] in PODS
    rig.converge(whole(3, both(30008)))
    assert rig.ask(30008)[0] in PODS


# UDP


def test_a_udp_flow_with_a_fixed_port_leaves_an_endpoint_that_goes(rig: Rig) -> None:
    rig.converge(whole(1, service("dns", port(30053, *PODS[:2], protocol="UDP"))))
    with inside(rig.client), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(3)
        out.connect((NODE, 30053))

        def ask() -> str:
            out.send(b"?")
            return out.recv(100).decode().split()[0]

        held = ask()
        assert {ask() for _ in range(10)} == {held}, "a flow stays where it is"
        other = next(pod for pod in PODS[:2] if pod != held)
        rig.converge(whole(2, service("dns", port(30053, other, protocol="UDP"))))
        assert ask() == other


def test_a_tcp_and_a_udp_port_of_one_number(rig: Rig) -> None:
    ports = (port(30008, PODS[0]), port(30008, PODS[1], protocol="UDP"))
    rig.converge(whole(1, service("both", *ports)))
    assert (rig.ask(30008)[0], rig.ask_udp(30008)[0]) == (PODS[0], PODS[1])


def test_other_peoples_udp_flows_are_left_alone(rig: Rig) -> None:
    """A flow past the translation has the same shape as one to a place that is no more."""
    chain = f"type nat hook prerouting priority -105; ip daddr {NODE} udp dport 5353 dnat to {PODS[3]}:80;"
    rig.nft(f"table ip theirs {{ chain prerouting {{ {chain} }}; }}")
    rig.converge(whole(1, service("dns", port(30053, *PODS[:2], protocol="UDP"))))
    with inside(rig.client), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(3)
        out.connect((NODE, 5353))
        out.send(b"?")
        assert out.recv(100).decode().split()[0] == PODS[3]
        rig.nft("delete table ip theirs")
        rig.converge(whole(2, service("dns", port(30053, PODS[1], protocol="UDP"))))
        out.send(b"?")
        assert out.recv(100).decode().split()[0] == PODS[3], "its entry in conntrack still leads there"


def test_the_rig_has_real_network_tables(rig: Rig) -> None:
    """Nothing of these tests may reach the host's own network."""
    shown = process.check(["nft", "list", "tables"], what="ask the host").out
    rig.converge(whole(1, both(30008)))
    assert process.check(["nft", "list", "tables"], what="ask the host").out == shown
