"""What every forwarder has to do, each test on each of them in both families of addresses, with real
traffic: client, node and pods in namespaces.

What a forwarder declares not to promise is looked at too: what it does instead is no matter of luck either.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from harness.model.forwarder import FORWARDERS
from harness.support import clock, process
from tests.lab.nodeportd_rig import (
    FOUR,
    SIX,
    Rig,
    alive,
    datagrams,
    echoing,
    endpoint,
    hanging_up,
    inside,
    more,
    port,
    service,
    serving,
    unconnected,
)  # fmt: skip
from tests.lab.test_readiness import check

pytestmark = pytest.mark.lab

FIREWALL = """
table inet firewall {{
  chain input {{
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    meta l4proto ipv6-icmp accept
    iifname "lo" accept
    tcp dport 30000-32767 accept
    {table} saddr {pods} accept
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    {table} daddr {pods} accept
  }}
}}
"""


class Node(Rig):
    """A rig that counts generations by itself."""

    generation = 0
    kept = ExitStack()
    """Sockets that stay open for a while."""

    def bring(self, *services: dict[str, Any], **fields: Any) -> None:
        """Have these Services in force."""
        self.generation += 1
        self.converge({**self.whole(self.generation, *services), **fields})

    def web(self, *ports: dict[str, Any], **fields: Any) -> None:
        """Have one Service of these ports in force."""
        self.bring(service("web", *ports, **fields))

    def again(self) -> None:
        """Start nodeportd anew."""
        with self.replacing():
            self.serve()

    @property
    def here(self) -> tuple[str, ...]:
        """The pods that count as this node's."""
        return self.net.pods[:2]

    def promises(self, feature: str) -> bool:
        return feature in FORWARDERS[self.backend].features


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param((name, FOUR), id=name) for name in FORWARDERS),
        *(pytest.param((name, SIX), id=f"{name}, IPv6", marks=pytest.mark.long) for name in FORWARDERS),
    ],
)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), *request.param) as node:
        node.ways_out()
        # Redirects to pods and refusals of UDP come out of one allowance, about one a second.
        quick = ["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"]
        process.check(["ip", "netns", "exec", node.node, *quick], what="lift the limit of ICMP")
        yield node


def split(node: Node, number: int, protocol: str = "TCP", target: int = 80) -> dict[str, Any]:
    """A port with two endpoints here and two on another node."""
    ends = [endpoint(pod, target, node="n1" if pod in node.here else "n2") for pod in node.net.pods]
    return {**port(number, protocol=protocol), "endpoints": ends}


def refused(node: Node, number: int, **how: Any) -> None:
    with pytest.raises(ConnectionRefusedError):
        node.ask(number, **how)


# Every node answers


def test_connections_spread_evenly_over_all_endpoints(node: Node) -> None:
    node.web(port(30008, *node.net.pods[:3]))
    seen = node.spread(30008, 600)
    assert seen.keys() == set(node.net.pods[:3])
    # 200 each; beyond ± 70 (six standard deviations) once in 1e8 runs.
    assert all(130 <= count <= 270 for count in seen.values()), seen


def test_the_node_itself_and_pods_reach_it_also_from_a_pod_to_itself(node: Node) -> None:
    pods = node.net.pods[:2]
    node.web(port(30008, *pods))
    assert {node.ask(30008, source=node.node)[0] for _ in range(60)} == set(pods)
    assert {node.ask(30008, source=node.pod) for _ in range(60)} == {(pod, node.net.gateway) for pod in pods}


def test_the_pod_sees_the_node_and_not_the_client(node: Node) -> None:
    node.web(port(30008, node.net.pods[0]))
    assert node.ask(30008) == (node.net.pods[0], node.net.gateway)


def test_only_the_given_addresses_of_the_node_answer(node: Node) -> None:
    other = f"{node.net.node[:-1]}9"
    node.ip(node.node, f"address add {other}/{'24' if node.net is FOUR else '64'} dev client")
    node.web(port(30008, node.net.pods[0]))
    refused(node, 30008, address=other)
    own = [FOUR.node] if node.net is FOUR else [FOUR.node, SIX.node]
    node.bring(service("web", port(30008, node.net.pods[0])), addresses=[*own, other])
    assert node.ask(30008, address=other)[0] == node.net.pods[0]


def test_localhost_answers_where_that_is_promised_and_clients_stick_there_too(node: Node) -> None:
    pods = node.net.pods
    node.web(port(30008, *pods))
    itself = "127.0.0.1" if node.net is FOUR else "::1"
    if not node.promises("localhost"):
        refused(node, 30008, address=itself, source=node.node)
        return
    assert {node.ask(30008, address=itself, source=node.node)[0] for _ in range(60)} == set(pods)
    node.bring(service("web", port(30008, *pods), affinity_seconds=600))
    assert len({node.ask(30008, address=itself, source=node.node)[0] for _ in range(12)}) == 1


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_without_endpoints_it_is_refused(node: Node, protocol: str) -> None:
    node.web(port(30008, node.net.pods[0], protocol=protocol))
    node.web(port(30008, protocol=protocol))
    for source in (node.client, node.node, node.pod):
        if protocol == "TCP":
            refused(node, 30008, source=source)
        else:  # the kernel tells a sender of its own otherwise: EPERM
            with pytest.raises((ConnectionRefusedError, PermissionError)):
                node.ask_udp(30008, source=source)


def test_each_endpoint_has_a_target_port_of_its_own(node: Node) -> None:
    with serving(node.pod, node.net.pods[1], 8080):
        node.web({**port(30008), "endpoints": [endpoint(node.net.pods[0], 80), endpoint(node.net.pods[1], 8080)]})
        assert {node.ask(30008)[0] for _ in range(60)} == set(node.net.pods[:2])


def test_several_ports_and_a_tcp_and_a_udp_port_of_one_number(node: Node) -> None:
    one, two, three, _ = node.net.pods
    node.web(port(30008, one), port(30008, two, protocol="UDP"), port(30009, three))
    assert (node.ask(30008)[0], node.ask_udp(30008)[0], node.ask(30009)[0]) == (one, two, three)


# Changes


def test_no_connection_is_lost_while_endpoints_come_and_go(node: Node) -> None:
    node.web(port(30008, *node.net.pods[:3]), port(30009, *node.net.pods))
    with node.established(30008) as connection, node.load(30008) as seen:
        for turn in range(60):
            some = node.net.pods[turn % 2 : 2 + turn % 3]
            node.web(port(30008, *some), port(30009, *node.net.pods[turn % 4 :]))
        alive(connection)
        more(seen, 20)
    assert seen.keys() == {"answered"}, seen
    assert node.nodeportd("drift", str(node.file)).code == 0


def test_an_idle_connection_outlives_reloads_a_restart_and_its_endpoint(node: Node) -> None:
    node.web(port(30008, node.net.pods[0]))
    with node.established(30008) as connection:
        node.mend()
        node.web(port(30008, node.net.pods[1]))
        node.stop()
        node.again()
        alive(connection)
        node.stop(signal.SIGKILL)
        node.again()
        alive(connection)


def test_what_it_forwards_outlives_nodeportd(node: Node) -> None:
    node.web(port(30008, *node.net.pods[:3]))
    assert node.stop() == 0
    assert node.spread(30008, 60).keys() == set(node.net.pods[:3])
    node.again()


def test_a_pod_that_is_not_ready_gets_nobody_and_comes_back(node: Node) -> None:
    asked = {"checks": [check(node.net.pods[1], 81)]}
    both = service("web", port(30008, node.net.pods[0], node.net.pods[1]))

    def serve(pods: set[str]) -> None:
        seen = {node.ask(30008)[0] for _ in range(30)}
        if seen != pods:
            raise clock.NotYet(f"{seen} answer")

    with serving(node.pod, node.net.pods[1], 81):
        node.bring(both, **asked)
        clock.until(lambda: serve(set(node.net.pods[:2])), what="both pods to serve", within=10)
    clock.until(lambda: serve({node.net.pods[0]}), what="the one that is not ready to be left", within=10)
    with serving(node.pod, node.net.pods[1], 81):
        clock.until(lambda: serve(set(node.net.pods[:2])), what="it to come back", within=10)


# Bytes


def test_large_payloads_go_both_ways_and_a_closed_half_leaves_the_other_open(node: Node) -> None:
    """The pod answers only when it has read to the end, and then more than any buffer on the way holds."""
    node.web(port(30008, node.net.pods[0], target=7))
    sent = bytes(range(256)) * (8 << 12)
    with (
        echoing(node.pod, node.net.pods[0], 7),
        inside(node.client),
        socket.create_connection((node.net.node, 30008), 20) as way,
    ):
        way.sendall(sent)
        way.shutdown(socket.SHUT_WR)
        got = bytearray()
        while part := way.recv(1 << 16):
            got += part
    assert bytes(got) == sent


def test_a_pod_that_is_silent_for_long_after_the_client_closed_its_half_is_waited_for(node: Node) -> None:
    node.web(port(30008, node.net.pods[0], target=7))
    slow = echoing(node.pod, node.net.pods[0], 7, after=2.0)
    with slow, inside(node.client), socket.create_connection((node.net.node, 30008), 20) as way:
        way.sendall(b"late")
        way.shutdown(socket.SHUT_WR)
        assert way.recv(100) == b"late"


def test_many_connections_at_once(node: Node) -> None:
    """Each has its own way back, although the pods see one address: source ports must not collide."""
    node.web(port(30008, *node.net.pods))
    with ExitStack() as held, inside(node.client):
        ways = [held.enter_context(socket.create_connection((node.net.node, 30008), 20)) for _ in range(400)]
        for _ in range(2):
            for way in ways:
                alive(way)


@pytest.mark.long
def test_thirty_thousand_connections_of_one_client_meet_no_port_that_a_pod_still_holds(node: Node) -> None:
    """More than a client has source ports, and pods close first, so they keep each for a minute (TIME_WAIT).

    A source port that is chosen anew for the way to the pod (``masquerade fully-random``) meets one of these: the pod
    answers from the connection of before, and the client tries again a second later.
    """
    late: list[float] = []
    errors: Counter[str] = Counter()

    def client() -> None:
        for _ in range(7_500):
            began = clock.monotonic()
            try:
                with inside(node.client), socket.create_connection((node.net.node, 30008), 5) as way:
                    assert way.recv(100) == b"bye"
            except OSError as error:
                errors[str(error)] += 1
            took = clock.monotonic() - began
            late.extend([took] if took > 0.9 else [])

    with hanging_up(node.pod, node.net.pods[0], 7), hanging_up(node.pod, node.net.pods[1], 7):
        node.web(port(30008, *node.net.pods[:2], target=7))
        clients = [threading.Thread(target=client) for _ in range(4)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
    assert errors == {}
    assert late == [], "as long as a SYN takes that is sent again"


# UDP


def test_a_udp_flow_stays_with_its_endpoint_until_that_goes(node: Node) -> None:
    node.web(port(30053, *node.net.pods[:2], protocol="UDP"))
    with inside(node.client), datagrams(node.net.node, 30053) as out:
        out.settimeout(3)

        def ask() -> str:
            out.send(b"?")
            return out.recv(100).decode().split()[0]

        held = ask()
        assert {ask() for _ in range(10)} == {held}
        other = next(pod for pod in node.net.pods[:2] if pod != held)
        node.web(port(30053, other, protocol="UDP"))
        assert ask() == other


def test_udp_clients_spread_and_none_gets_the_answer_of_another(node: Node) -> None:
    node.web(port(30053, *node.net.pods[:3], target=7, protocol="UDP"))
    with ExitStack() as held:
        for pod in node.net.pods[:3]:
            held.enter_context(echoing(node.pod, pod, 7))
        with inside(node.client):
            ways = [held.enter_context(datagrams(node.net.node, 30053)) for _ in range(120)]
        for number, way in enumerate(ways):
            way.settimeout(5)
            way.send(b"%d" % number)
        answers = [way.recv(100).split() for way in ways]
    assert [int(answer[0]) for answer in answers] == list(range(120))
    seen = Counter(answer[1].decode() for answer in answers)
    # 40 each; fewer than 10 of one pod once in 1e9 runs.
    assert seen.keys() == set(node.net.pods[:3])
    assert min(seen.values()) >= 10, seen


def test_a_datagram_in_fragments_arrives_whole_both_ways(node: Node) -> None:
    node.web(port(30053, node.net.pods[0], target=7, protocol="UDP"))
    sent = bytes(range(250)) * 20
    with echoing(node.pod, node.net.pods[0], 7), inside(node.client), datagrams(node.net.node, 30053) as out:
        out.settimeout(5)
        for _ in range(3):
            out.send(sent)
            assert out.recv(65535).rpartition(b" ")[0] == sent


@pytest.mark.parametrize("where", ["nodePort", "ClusterIP"])
def test_large_requests_of_pods_and_nodes_come_back_whole(node: Node, where: str) -> None:
    """Upstream's 2,000 bytes, as many times as it tries: one segment too many for TCP, two fragments for UDP."""
    if where == "ClusterIP" and not node.promises("cluster-addresses"):
        pytest.skip(f"{node.backend} does not promise it")
    address, number = (node.net.cluster, 80) if where == "ClusterIP" else (node.net.node, 30008)
    ports = [port(30008, node.net.pods[0], target=7, protocol=protocol) for protocol in ("TCP", "UDP")]
    node.web(*ports, cluster_addresses=[node.net.cluster])
    sent = b"42" * 1000
    with echoing(node.pod, node.net.pods[0], 7):
        for source in (node.client, node.node, node.pod):
            for _ in range(10):
                with inside(source), socket.create_connection((address, number), 5) as way:
                    way.sendall(sent)
                    way.shutdown(socket.SHUT_WR)
                    assert way.makefile("rb").read() == sent
                with inside(source), datagrams(address, number) as out:
                    out.settimeout(5)
                    out.send(sent)
                    assert out.recv(65535).rpartition(b" ")[0] == sent


def asker(node: Node, source: str, address: str, number: int) -> Callable[[], str]:
    """Asks again and again from one UDP source port: the pod that answers, empty where none does."""
    with inside(source):
        out = node.kept.enter_context(unconnected(address))
    out.bind(("", 12345))
    out.settimeout(0.5)

    def ask() -> str:
        with suppress(OSError):  # refused, or silence
            out.sendto(b"?", (address, number))
            return out.recv(100).decode().split()[0]
        return ""

    return ask


@pytest.mark.parametrize("where", ["nodePort", "ClusterIP"])
@pytest.mark.parametrize("who", ["client", "node", "pod"])
def test_a_udp_flow_that_began_before_its_endpoint_was_ready_gets_there(node: Node, where: str, who: str) -> None:
    """Upstream's #105657: a flow must not be stuck with what became of its first datagrams."""
    if where == "ClusterIP" and not node.promises("cluster-addresses"):
        pytest.skip(f"{node.backend} does not promise it")
    address, number = (node.net.cluster, 80) if where == "ClusterIP" else (node.net.node, 30053)
    pod = node.net.pods[0 if who == "pod" else 1]  # a pod of the rig meets no other one there
    dns = service("dns", port(30053, pod, protocol="UDP"), cluster_addresses=[node.net.cluster])
    node.bring()
    with ExitStack() as node.kept:
        ask = asker(node, getattr(node, who), address, number)
        assert ask() == "", "nobody forwards it yet"
        node.bring(dns, checks=[check(pod, 81)])
        assert {ask() for _ in range(5)} == {""}, "the endpoint is not ready"

        def answered() -> None:
            if ask() != pod:
                raise clock.NotYet("no answer")

        with serving(node.pod, pod, 81):
            clock.until(answered, what="the flow to reach the endpoint that is ready now", within=10)
            assert {ask() for _ in range(5)} == {pod}


@pytest.mark.parametrize(
    ("who", "fields"),
    [("client", {}), ("client", {"internal_traffic_policy": "Local"}), ("node", {})],
    ids=["passer-by", "passer-by, Local", "node"],
)
def test_a_udp_flow_to_a_clusterip_leaves_an_endpoint_that_goes(node: Node, who: str, fields: dict[str, str]) -> None:
    if not node.promises("cluster-addresses"):
        pytest.skip(f"{node.backend} does not promise it")
    with ExitStack() as node.kept:
        ask = asker(node, getattr(node, who), node.net.cluster, 80)
        node.web(port(30053, *node.net.pods[:2], protocol="UDP"), cluster_addresses=[node.net.cluster], **fields)
        held = ask()
        assert {ask() for _ in range(10)} == {held}
        other = next(pod for pod in node.net.pods[:2] if pod != held)
        node.web(port(30053, other, protocol="UDP"), cluster_addresses=[node.net.cluster], **fields)
        assert ask() == other


# Policies


def test_a_client_stays_where_it_was_and_leaves_an_endpoint_that_goes(node: Node) -> None:
    node.web(port(30008, *node.net.pods), affinity_seconds=600)
    seen = {node.ask(30008)[0] for _ in range(30)}
    assert len(seen) == 1
    others = [pod for pod in node.net.pods if pod not in seen]
    node.web(port(30008, *others), affinity_seconds=600)
    then = {node.ask(30008)[0] for _ in range(30)}
    assert len(then) == 1
    assert then <= set(others)


def test_external_local_keeps_outsiders_to_this_node_and_others_not(node: Node) -> None:
    """Pods are no outsiders either: ``test_neighbours.py``, where each is in a namespace of its own."""
    node.web(split(node, 30008), external_traffic_policy="Local")
    seen = {node.ask(30008) for _ in range(60)}
    met = node.net.client if node.promises("client-address") else node.net.gateway
    assert seen == {(pod, met) for pod in node.here}
    assert {node.ask(30008, source=node.node)[0] for _ in range(80)} == set(node.net.pods)


def test_a_node_asks_itself_from_an_address_that_only_it_knows(node: Node) -> None:
    """Whatever the policy the pod must not see that address: its answer would not find back."""
    for policy in ("Cluster", "Local"):
        node.web(split(node, 30008), external_traffic_policy=policy)
        with own_address(node, "198.51.100.7" if node.net is FOUR else "2001:db8:51::7") as own:
            seen = {node.ask(30008, source=node.node, bind=own) for _ in range(60)}
        assert seen == {(pod, node.net.gateway) for pod in node.net.pods}


@contextmanager
def own_address(node: Node, address: str) -> Iterator[str]:
    """Within: the node has this address, and nobody has a route to it."""
    node.ip(node.node, f"address add {address}/{node.net.one} dev lo")
    node.ip(node.pod, f"route add blackhole {address}")
    try:
        yield address
    finally:
        node.ip(node.pod, f"route delete blackhole {address}")
        node.ip(node.node, f"address delete {address}/{node.net.one} dev lo")


def test_external_local_without_an_endpoint_here_serves_no_outsider(node: Node) -> None:
    away = {**port(30008), "endpoints": [endpoint(node.net.pods[2], node="n2")]}
    node.web(away, external_traffic_policy="Local")
    not_served(node, 30008, silent=node.promises("client-address"))
    assert node.ask(30008, source=node.node)[0] == node.net.pods[2]


def test_the_allow_list_lets_in_whom_it_names_and_nobody_else(node: Node) -> None:
    other = node.another_client(77)
    node.web(split(node, 30008), allowed_sources=[f"{other}/{node.net.one}", "172.16.0.0/12"])
    assert node.ask(30008, bind=other)[0] in node.net.pods
    not_served(node, 30008, silent=node.promises("allowed-sources"))
    assert node.ask(30008, source=node.node)[0] in node.net.pods, "a node's own traffic is not looked at"


def not_served(node: Node, number: int, *, silent: bool) -> None:
    """Nothing is answered: by silence where that is promised, else the connection is reset."""
    with pytest.raises(TimeoutError if silent else ConnectionError):
        node.ask(number, within=0.7)


# Others on this node


def test_other_tables_are_left_alone_and_a_firewall_that_lets_in_nodeports_is_no_hindrance(node: Node) -> None:
    pods = "10.244.0.0/16" if node.net is FOUR else "fd00:10:244::/56"
    node.nft_file(FIREWALL.format(table=node.net.table, pods=pods))
    before = node.nft("list table inet firewall")
    node.web(port(30008, *node.net.pods[:2]))
    for source in (node.client, node.node, node.pod):
        assert {node.ask(30008, source=source)[0] for _ in range(60)} == set(node.net.pods[:2])
    node.web(port(30008, node.net.pods[2]))
    node.stop()
    assert node.nft("list table inet firewall") == before
    node.nft("delete table inet firewall")
    node.again()


# Switching


def test_switching_over_and_back_leaves_nothing_of_the_other(node: Node) -> None:
    first = node.backend
    try:
        node.web(port(30008, *node.net.pods[:3]))
        for backend in [name for name in FORWARDERS if name != first] + [first]:
            node.relay()
            node.backend = backend
            node.web(port(30008, *node.net.pods[:3]))
            assert node.spread(30008, 60).keys() == set(node.net.pods[:3])
            assert (f"table {node.net.table} nodeport" in node.nft("list tables")) == (backend == "nftables")
            listening = process.check(["ip", "netns", "exec", node.node, "ss", "-Hltnp"], what="look").out
            assert ("30008" in listening) == (backend == "socat")
            assert node.relay_running == (backend == "socat")
            assert node.nodeportd("drift", str(node.file)).code == 0
    finally:
        node.backend = first


def test_a_switch_loses_nobody_who_comes_meanwhile(node: Node) -> None:
    """The new one is in force before the old one goes; whom the old one serves at that moment is cut off."""
    first = node.backend
    try:
        node.web(port(30008, *node.net.pods[:3]))
        with node.load(30008) as seen:
            for backend in [name for name in FORWARDERS if name != first] + [first]:
                node.relay()
                node.backend = backend
                node.web(port(30008, *node.net.pods[:3]))
                more(seen, 50)
    finally:
        node.backend = first
    lost = sum(count for error, count in seen.items() if error != "answered")
    assert lost <= 8, seen  # two clients, each at most with one attempt under way, two switches
    refusals = {error for error in seen if "refused" in error}
    assert not refusals, seen


# Nothing is left behind


@pytest.mark.parametrize("times", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_nothing_is_left_of_many_connections(node: Node, times: int) -> None:
    node.web(port(30008, *node.net.pods), port(30008, *node.net.pods, protocol="UDP"))
    before = node.held()
    errors: list[Exception] = []

    def client() -> None:
        try:
            for _ in range(times // 4):
                node.ask(30008)
        except OSError as error:
            errors.append(error)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert errors == []

    def nothing() -> None:
        if node.held() != before:
            raise clock.NotYet(f"{before} before, {node.held()} now")

    clock.until(nothing, what="the last processes and sockets to go", within=10, every=0.1)


def test_of_the_rig_nothing_reaches_the_host(node: Node) -> None:
    shown = process.check(["nft", "list", "tables"], what="ask the host").out
    node.web(port(30008, *node.net.pods))
    assert process.check(["nft", "list", "tables"], what="ask the host").out == shown
