"""Every promise of a Service that nodeportd keeps beyond NodePort itself, with real traffic, a test for each.

All of it in both families of addresses. The rig of ``test_nodeportd.py``; pods 2 and 3 count as this node's, 4 and
5 as another one's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from harness.support import clock, process
from tests.lab.nodeportd_rig import FOUR, SIX, Rig, datagrams, endpoint, inside, port, service, serving

pytestmark = pytest.mark.lab


@pytest.fixture(params=[FOUR, SIX], ids=["IPv4", "IPv6"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, net=request.param) as rig:
        rig.ways_out()
        yield rig


def here(rig: Rig) -> set[str]:
    """The pods that count as this node's."""
    return set(rig.net.pods[:2])


def both(rig: Rig, number: int, **fields: Any) -> dict[str, Any]:
    """A Service with two endpoints here and two on another node."""
    ends = [endpoint(pod, node="n1" if pod in here(rig) else "n2") for pod in rig.net.pods]
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


def test_the_own_address_answers_nodes_and_passers_by(rig: Rig) -> None:
    """Pods, too: ``test_neighbours.py``, where each is in a namespace of its own."""
    rig.converge(rig.whole(1, both(rig, 0, cluster_addresses=[rig.net.cluster])))
    for source in (rig.node, rig.client):
        assert answers(rig, 80, address=rig.net.cluster, source=source)[0] == set(rig.net.pods)


def test_an_own_address_without_endpoints_is_refused(rig: Rig) -> None:
    rig.converge(rig.whole(1, service("web", port(0), cluster_addresses=[rig.net.cluster])))
    for source in (rig.node, rig.pod, rig.client):
        with pytest.raises(ConnectionRefusedError):
            rig.ask(80, address=rig.net.cluster, source=source)


def test_a_headless_service_has_nothing_to_forward(rig: Rig) -> None:
    rig.converge(rig.whole(1, both(rig, 0)))
    assert "services {" in rig.nft(f"list map {rig.net.table} nodeport services")
    assert "elements" not in rig.nft(f"list map {rig.net.table} nodeport services")


def test_an_external_address_answers_from_everywhere(rig: Rig) -> None:
    rig.converge(rig.whole(1, both(rig, 0, external_addresses=[rig.net.external])))
    for source in (rig.client, rig.node, rig.pod):
        found, saw = answers(rig, 80, address=rig.net.external, source=source)
        assert (found, saw) == (set(rig.net.pods), {rig.net.gateway})


# Traffic policies


def test_external_local_keeps_the_client_and_to_this_node(rig: Rig) -> None:
    rig.converge(rig.whole(1, both(rig, 30008, external_traffic_policy="Local")))
    assert answers(rig, 30008) == (here(rig), {rig.net.client})


def test_external_local_means_all_endpoints_to_the_node_itself(rig: Rig) -> None:
    """And to pods: ``test_neighbours.py``, where each is in a namespace of its own."""
    rig.converge(rig.whole(1, both(rig, 30008, external_traffic_policy="Local")))
    assert answers(rig, 30008, source=rig.node)[0] == set(rig.net.pods)


def test_external_local_without_an_endpoint_here_is_silent_and_never_refuses(rig: Rig) -> None:
    away = service("web", port(30008), external_traffic_policy="Local")
    away["ports"][0]["endpoints"] = [endpoint(rig.net.pods[2], node="n2")]
    rig.converge(rig.whole(1, away))
    silent(rig, 30008)
    assert rig.ask(30008, source=rig.node)[0] == rig.net.pods[2]


def test_external_local_without_any_endpoint_is_refused(rig: Rig) -> None:
    rig.converge(rig.whole(1, service("web", port(30008), external_traffic_policy="Local")))
    with pytest.raises(ConnectionRefusedError):
        rig.ask(30008)


def test_internal_local_keeps_to_this_node(rig: Rig) -> None:
    rig.converge(rig.whole(1, both(rig, 30008, cluster_addresses=[rig.net.cluster], internal_traffic_policy="Local")))
    assert answers(rig, 80, address=rig.net.cluster, source=rig.node)[0] == here(rig)
    assert answers(rig, 30008)[0] == set(rig.net.pods), "the policy of outsiders is its own"


def test_internal_local_without_an_endpoint_here_is_silent(rig: Rig) -> None:
    away = service("web", port(0), cluster_addresses=[rig.net.cluster], internal_traffic_policy="Local")
    away["ports"][0]["endpoints"] = [endpoint(rig.net.pods[2], node="n2")]
    rig.converge(rig.whole(1, away))
    silent(rig, 80, address=rig.net.cluster, source=rig.client)


def test_a_pod_reaches_itself_by_its_node(rig: Rig) -> None:
    """The answer has to come back through the node, so the pod must not see itself as the client."""
    own, cluster = rig.net.pods[0], rig.net.cluster
    for turn, policy in enumerate(("Cluster", "Local")):
        web = service("web", port(30008, own), cluster_addresses=[cluster], external_traffic_policy=policy)
        rig.converge(rig.whole(1 + turn, web))
        for address, number in ((rig.net.node, 30008), (cluster, 80)):
            assert rig.ask(number, address=address, source=rig.pod, bind=own) == (own, rig.net.gateway)


# Affinity


def stuck(number: int, *pods: str, seconds: int = 600, protocol: str = "TCP") -> dict[str, Any]:
    return service("web", port(number, *pods, protocol=protocol), affinity_seconds=seconds)


def test_a_client_stays_with_its_pod_and_clients_spread(rig: Rig) -> None:
    rig.converge(rig.whole(1, stuck(30008, *rig.net.pods)))
    first: set[str] = set()
    for number in range(100, 120):
        client = rig.another_client(number)
        seen = {rig.ask(30008, bind=client)[0] for _ in range(6)}
        assert len(seen) == 1, f"client {number} met {seen}"
        first |= seen
    # 20 clients, 4 pods: all at one pod once in 2.7e11 runs.
    assert len(first) > 1


def test_affinity_slides_and_then_ends(rig: Rig) -> None:
    rig.converge(rig.whole(1, stuck(30008, *rig.net.pods, seconds=2)))
    began = clock.monotonic()
    pods = set()
    while clock.monotonic() < began + 4:  # twice the timeout: each connection renews it
        pods.add(rig.ask(30008)[0])
    assert len(pods) == 1

    def forgotten() -> None:
        if "expires" in rig.nft(f"list map {rig.net.table} nodeport clients"):
            raise clock.NotYet("still remembered")

    clock.until(forgotten, what="the client to be forgotten", within=10, every=0.1)


def test_a_removed_endpoint_is_left_at_once_and_others_keep_their_clients(rig: Rig) -> None:
    rig.converge(rig.whole(1, stuck(30008, *rig.net.pods)))
    held, _ = rig.ask(30008)
    others = [pod for pod in rig.net.pods if pod != held]
    rig.converge(rig.whole(2, stuck(30008, *others)))
    then, _ = rig.ask(30008)
    assert then != held
    rig.converge(rig.whole(3, stuck(30008, *rig.net.pods)))
    assert {rig.ask(30008)[0] for _ in range(20)} == {then}


def test_clients_are_remembered_over_a_restart_and_a_whole_replacement(rig: Rig) -> None:
    rig.converge(rig.whole(1, stuck(30008, *rig.net.pods)))
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
        connection = HTTPConnection(rig.net.node, number, timeout=3)
        connection.connect()
    connection.request("GET", "/whatever")
    reply = connection.getresponse()
    body = json.loads(reply.read())
    connection.close()
    return reply.status, body, reply.headers["X-Load-Balancing-Endpoint-Weight"]


def test_the_health_check_tells_of_endpoints_on_this_node_that_stay(rig: Rig) -> None:
    fields = {"external_traffic_policy": "Local", "health_check_node_port": 31999}
    rig.converge(rig.whole(1, both(rig, 30008, **fields)))
    named = {"namespace": "default", "name": "web"}
    assert health(rig, 31999) == (200, {"service": named, "localEndpoints": 2, "serviceProxyHealthy": True}, "2")
    ending = both(rig, 30008, **fields)
    for end in ending["ports"][0]["endpoints"]:
        end["terminating"] = True
    rig.converge(rig.whole(2, ending))
    status, body, weight = health(rig, 31999)
    assert (status, body["localEndpoints"], weight) == (503, 0, "0")
    assert answers(rig, 30008)[0] == here(rig), "what ends still serves while nothing else does"
    rig.converge(rig.whole(3, both(rig, 30008)))
    with pytest.raises(ConnectionRefusedError):
        health(rig, 31999)


def test_a_health_check_that_cannot_be_told_is_said(rig: Rig) -> None:
    where = f"{rig.net.node}:31999" if rig.net is FOUR else f"[{rig.net.node}]:31999"
    with serving(rig.node, rig.net.node, 31999):
        rig.give(rig.whole(1, both(rig, 30008, external_traffic_policy="Local", health_check_node_port=31999)))
        rig.serve()
        rig.status(generation=1, error=f"cannot tell the health of default/web at {where}")
        assert rig.ask(30008)[0] in here(rig)


# Who may


def test_the_allow_list_lets_in_whom_it_names(rig: Rig) -> None:
    another = rig.another_client(77)
    length = 32 if rig.net is FOUR else 128
    rig.converge(rig.whole(1, both(rig, 30008, allowed_sources=[f"{another}/{length}", "172.16.0.0/12"])))
    assert rig.ask(30008, bind=another)[0] in rig.net.pods
    silent(rig, 30008)
    rig.converge(rig.whole(2, both(rig, 30008, allowed_sources=[rig.net.network])))
    assert rig.ask(30008)[0] in rig.net.pods
    rig.converge(rig.whole(3, both(rig, 30008)))
    assert rig.ask(30008)[0] in rig.net.pods


# UDP


def test_a_udp_flow_with_a_fixed_port_leaves_an_endpoint_that_goes(rig: Rig) -> None:
    rig.converge(rig.whole(1, service("dns", port(30053, *rig.net.pods[:2], protocol="UDP"))))
    with inside(rig.client), datagrams(rig.net.node, 30053) as out:
        out.settimeout(3)

        def ask() -> str:
            out.send(b"?")
            return out.recv(100).decode().split()[0]

        held = ask()
        assert {ask() for _ in range(10)} == {held}, "a flow stays where it is"
        other = next(pod for pod in rig.net.pods[:2] if pod != held)
        rig.converge(rig.whole(2, service("dns", port(30053, other, protocol="UDP"))))
        assert ask() == other


def test_a_tcp_and_a_udp_port_of_one_number(rig: Rig) -> None:
    ports = (port(30008, rig.net.pods[0]), port(30008, rig.net.pods[1], protocol="UDP"))
    rig.converge(rig.whole(1, service("both", *ports)))
    assert (rig.ask(30008)[0], rig.ask_udp(30008)[0]) == (rig.net.pods[0], rig.net.pods[1])


def test_other_peoples_udp_flows_are_left_alone(rig: Rig) -> None:
    """A flow past the translation has the same shape as one to a place that is no more."""
    table, to = rig.net.table, rig.net.pods[3] if rig.net is FOUR else f"[{rig.net.pods[3]}]"
    rule = f"{table} daddr {rig.net.node} udp dport 5353 dnat to {to}:80"
    rig.nft(f"table {table} theirs {{ chain prerouting {{ type nat hook prerouting priority -105; {rule}; }}; }}")
    rig.converge(rig.whole(1, service("dns", port(30053, *rig.net.pods[:2], protocol="UDP"))))
    with inside(rig.client), datagrams(rig.net.node, 5353) as out:
        out.settimeout(3)
        out.send(b"?")
        assert out.recv(100).decode().split()[0] == rig.net.pods[3]
        rig.nft(f"delete table {table} theirs")
        rig.converge(rig.whole(2, service("dns", port(30053, rig.net.pods[1], protocol="UDP"))))
        out.send(b"?")
        assert out.recv(100).decode().split()[0] == rig.net.pods[3], "its entry in conntrack still leads there"


def test_the_rig_has_real_network_tables(rig: Rig) -> None:
    """Nothing of these tests may reach the host's own network."""
    shown = process.check(["nft", "list", "tables"], what="ask the host").out
    rig.converge(rig.whole(1, both(rig, 30008)))
    assert process.check(["nft", "list", "tables"], what="ask the host").out == shown
