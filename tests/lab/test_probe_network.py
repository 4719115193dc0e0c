"""The probe program where the network itself is at fault: two namespaces of our own, rules and routes between them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import RemoteError
from harness.model.observation import OUTSIDE, Attempt, Job, Outcome, Target
from harness.model.workload import Protocol
from harness.probes.pace import Pace
from harness.probes.prober import Prober
from harness.probes.transport import LocalStreams
from harness.support import netns, process

pytestmark = pytest.mark.lab

SERVER = Path(__file__).parents[1] / "unit" / "probes" / "quick_server.py"
ADDRESS = "10.77.0.2"


@dataclass(frozen=True)
class Pair:
    """A client's and a server's namespace, joined by a veth; the server has 10.77.0.2 and answers on port 80."""

    client: str
    server: str

    def probe(self, *jobs: tuple[str, int, Protocol], count: int = 1, pace: Pace | None = None) -> list[Attempt]:
        """So many attempts at each address, port and protocol, from the client."""
        prober = Prober(OUTSIDE, LocalStreams(netns.FOLDER / self.client), pace=pace)
        try:
            return list(prober.run([Job(OUTSIDE, Target("n1", *job), count) for job in jobs]))
        finally:
            prober.close()


def ip(*words: str) -> None:
    process.check(["ip", *words], what="making namespaces")


def rules(namespace: str, *rules: str, hook: str = "input", sets: tuple[str, ...] = ()) -> None:
    """Load rules into a table of our own."""
    declared = "\n".join(f"set {name} {{ type inet_service; size 65535; flags dynamic; }}" for name in sets)
    chain = "\n".join([f"type filter hook {hook} priority 0;", *rules])
    text = f"table inet flt {{\n{declared}\nchain {hook} {{\n{chain}\n}}\n}}\n"
    process.check(["ip", "netns", "exec", namespace, "nft", "-f", "-"], what="loading rules", stdin=text)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair(f"prb-c{os.getpid()}", f"prb-s{os.getpid()}")
    with netns.added(pair.client, pair.server):
        ip("-n", pair.client, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", pair.server)
        for name, address in ((pair.client, "10.77.0.1/24"), (pair.server, f"{ADDRESS}/24")):
            ip("-n", name, "addr", "add", address, "dev", "eth0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")
        with _served(pair.server):
            yield pair


@contextmanager
def _served(namespace: str) -> Iterator[None]:
    argv = ["ip", "netns", "exec", namespace, sys.executable, str(SERVER), ADDRESS, "80"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"80\n"
        yield
        child.kill()


def test_healthy(pair: Pair) -> None:
    attempts = pair.probe((ADDRESS, 80, Protocol.TCP), count=200)
    assert {attempt.outcome for attempt in attempts} == {Outcome.OK}
    assert max(attempt.connect_ms or 0 for attempt in attempts) < 990, "no SYN was sent again"


def lose_syns(pair: Pair, number: int) -> None:
    """Drop the first SYNs of every source port."""
    sets = [f"seen{one}" for one in range(number)]
    syn = "tcp dport 80 tcp flags & (syn | ack) == syn"
    rules(
        pair.server, *(f"{syn} tcp sport != @{one} add @{one} {{ tcp sport }} drop" for one in sets), sets=tuple(sets)
    )


def test_a_lost_first_syn_is_seen_as_a_connect_that_takes_a_second(pair: Pair) -> None:
    lose_syns(pair, 1)
    attempts = pair.probe((ADDRESS, 80, Protocol.TCP), count=20)
    assert [attempt.outcome for attempt in attempts] == [Outcome.OK] * 20
    late = [attempt.connect_ms for attempt in attempts if attempt.connect_ms is not None]
    assert len(late) == 20
    assert 990 < min(late) <= max(late) < 1990
    assert not any(attempt.stalled for attempt in attempts)


def test_a_slow_answer_to_the_first_syn_is_told_from_a_lost_syn_by_its_round_trip(pair: Pair) -> None:
    """A server that has to ask twice for its client's hardware address answers the first SYN after a second."""
    ip("-n", pair.server, "link", "set", "eth0", "address", "02:00:00:00:77:02")
    ip("-n", pair.client, "neigh", "replace", ADDRESS, "lladdr", "02:00:00:00:77:02", "dev", "eth0")
    ip("-n", pair.server, "neigh", "flush", "dev", "eth0")
    chain = "type filter hook output priority 0; limit rate over 1/minute burst 1 packets accept; drop"
    process.check(
        ["ip", "netns", "exec", pair.server, "nft", f"table arp flt {{ chain out {{ {chain}; }}; }}"], what=""
    )
    (slow,) = pair.probe((ADDRESS, 80, Protocol.TCP))
    lose_syns(pair, 1)
    (lost,) = pair.probe((ADDRESS, 80, Protocol.TCP))
    assert slow.connect_ms is not None
    assert slow.round_trip_ms is not None
    assert lost.connect_ms is not None
    assert lost.round_trip_ms is not None
    assert min(slow.connect_ms, lost.connect_ms) > 990
    assert slow.connect_ms - slow.round_trip_ms < 900
    assert lost.connect_ms - lost.round_trip_ms > 900


def test_two_lost_syns_still_fit_into_the_default_time(pair: Pair) -> None:
    lose_syns(pair, 2)
    (attempt,) = pair.probe((ADDRESS, 80, Protocol.TCP))
    assert attempt.outcome is Outcome.OK
    assert attempt.connect_ms is not None
    assert 1990 < attempt.connect_ms < 3990  # 2 s with tcp_syn_linear_timeouts, 3 s without


WAYS = [
    pytest.param("blackhole 192.0.2.1", "192.0.2.1", "EINVAL: Invalid argument", id="blackhole route"),
    pytest.param("prohibit 192.0.2.1", "192.0.2.1", "EACCES: Permission denied", id="prohibit route"),
    pytest.param("unreachable 192.0.2.1", "192.0.2.1", "EHOSTUNREACH: No route to host", id="unreachable route"),
    pytest.param("", "192.0.2.1", "ENETUNREACH: Network is unreachable", id="no route"),
    pytest.param("", "10.77.0.99", "EHOSTUNREACH: No route to host", id="no such neighbour"),
]


@pytest.mark.parametrize(("route", "address", "detail"), WAYS)
def test_unreachable_by_routes(route: str, address: str, detail: str, pair: Pair) -> None:
    if route:
        ip("-n", pair.client, "route", "add", *route.split())
    attempts = pair.probe((address, 80, Protocol.TCP), (address, 80, Protocol.UDP))
    assert {(attempt.outcome, attempt.detail) for attempt in attempts} == {(Outcome.UNREACHABLE, detail)}
    assert len(attempts) == 2


@pytest.mark.parametrize("icmp", ["host-unreachable", "admin-prohibited", "net-unreachable"])
def test_unreachable_by_icmp(icmp: str, pair: Pair) -> None:
    rules(pair.server, f"meta l4proto {{ tcp, udp }} th dport 80 reject with icmp type {icmp}")
    attempts = pair.probe((ADDRESS, 80, Protocol.TCP), (ADDRESS, 80, Protocol.UDP))
    assert [attempt.outcome for attempt in attempts] == [Outcome.UNREACHABLE] * 2
    assert all(attempt.detail for attempt in attempts)


def test_a_rule_that_drops_what_is_sent(pair: Pair) -> None:
    rules(pair.client, "meta l4proto { tcp, udp } th dport 80 drop", hook="output")
    soon = Pace(connect_seconds=0.5, answer_seconds=0.5)
    attempts = pair.probe((ADDRESS, 80, Protocol.TCP), (ADDRESS, 80, Protocol.UDP), pace=soon)
    found = {attempt.target.protocol: (attempt.outcome, attempt.detail) for attempt in attempts}
    assert found == {
        Protocol.TCP: (Outcome.TIMEOUT, ""),
        Protocol.UDP: (Outcome.UNREACHABLE, "EPERM: Operation not permitted"),
    }


def test_a_silent_drop_is_a_timeout_for_both(pair: Pair) -> None:
    rules(pair.server, "meta l4proto { tcp, udp } th dport 80 drop")
    soon = Pace(connect_seconds=0.5, answer_seconds=0.5)
    attempts = pair.probe((ADDRESS, 80, Protocol.TCP), (ADDRESS, 80, Protocol.UDP), pace=soon)
    assert [attempt.outcome for attempt in attempts] == [Outcome.TIMEOUT] * 2


def test_running_out_of_source_ports_is_no_outcome(pair: Pair) -> None:
    sysctl = ["sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40003"]
    process.check(["ip", "netns", "exec", pair.client, *sysctl], what="leaving four source ports")
    rules(pair.server, "meta l4proto { tcp, udp } th dport 80 drop")
    soon = Pace(connect_seconds=0.5)
    with pytest.raises(RemoteError, match=r"the prober itself failed: .* times EADDRNOTAVAIL"):
        pair.probe((ADDRESS, 80, Protocol.TCP), count=20, pace=soon)
