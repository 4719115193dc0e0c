"""nodeportd with real traffic: a client, a node and a pod in network namespaces of their own."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.support import clock, process
from tests.lab.nodeportd_rig import GATEWAY, NODE, PODS, Rig, alive, more, port, service, serving, state, whole

pytestmark = pytest.mark.lab

FOREIGN = "table ip theirs { chain input { type filter hook input priority 0; tcp dport 9 drop; }; }"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        yield rig


# Forwarding


def test_new_connections_spread_evenly_over_all_endpoints(rig: Rig) -> None:
    rig.converge(state(1, port(30008, *PODS[:3])))
    seen = rig.spread(30008, 600)
    assert seen.keys() == set(PODS[:3])
    # 200 each; beyond ± 70 (six standard deviations) once in 1e8 runs.
    assert all(130 <= count <= 270 for count in seen.values()), seen


def test_the_pod_sees_the_node_and_not_the_client(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0]), port(30008, PODS[0], protocol="UDP")))
    assert rig.ask(30008) == (PODS[0], GATEWAY)
    assert rig.ask_udp(30008) == (PODS[0], GATEWAY)


def test_the_node_itself_and_a_pod_reach_the_node_port(rig: Rig) -> None:
    rig.ip(rig.pod, f"route add {NODE} via {GATEWAY}")
    rig.converge(state(1, port(30008, *PODS[:2])))
    assert {rig.ask(30008, source=rig.node)[0] for _ in range(60)} == set(PODS[:2])
    # From the pod's own address to itself: the reply has to come back through the node.
    assert {rig.ask(30008, source=rig.pod) for _ in range(60)} == {(pod, GATEWAY) for pod in PODS[:2]}


def test_only_the_given_addresses_of_the_node_answer(rig: Rig) -> None:
    rig.ip(rig.node, "address add 10.99.0.9/24 dev client")
    rig.converge(state(1, port(30008, PODS[0])))
    with pytest.raises(ConnectionRefusedError):
        rig.ask(30008, address="10.99.0.9")
    rig.converge(state(2, port(30008, PODS[0]), addresses=[NODE, "10.99.0.9"]))
    assert rig.ask(30008, address="10.99.0.9") == (PODS[0], GATEWAY)


def test_without_endpoints_it_is_refused_although_a_process_of_the_node_listens(rig: Rig) -> None:
    with serving(rig.node, NODE, 30008):
        assert rig.ask(30008)[0] == NODE
        assert rig.ask_udp(30008)[0] == NODE
        rig.converge(state(1, port(30008), port(30008, protocol="UDP")))
        for source in (rig.client, rig.node):
            with pytest.raises(ConnectionRefusedError):
                rig.ask(30008, source=source)
        with pytest.raises(ConnectionRefusedError):
            rig.ask_udp(30008)


def test_what_another_table_translates_is_not_masqueraded(rig: Rig) -> None:
    rig.ip(rig.pod, f"route add default via {GATEWAY}")
    chain = f"type nat hook prerouting priority -105; ip daddr {NODE} tcp dport 8080 dnat to {PODS[3]}:80;"
    rig.nft(f"table ip theirs {{ chain prerouting {{ {chain} }}; }}")
    rig.converge(state(1, port(30008, PODS[0])))
    assert rig.ask(8080) == (PODS[3], "10.99.0.2")
    assert rig.ask(30008) == (PODS[0], GATEWAY)


def test_other_tables_are_left_alone(rig: Rig) -> None:
    rig.nft(FOREIGN)
    before = rig.nft("list table ip theirs")
    rig.converge(state(1, port(30008, *PODS)))
    rig.converge(state(2, port(30009, PODS[0])))
    rig.hup()
    rig.stop()
    assert rig.nft("list table ip theirs") == before
    assert rig.nft("list tables").split("\n")[:-1] == ["table ip theirs", "table ip nodeport"]


# Changes under load


def test_no_connection_is_lost_while_endpoints_come_and_go(rig: Rig) -> None:
    """Fewer, more and other endpoints, many times."""
    rig.converge(state(1, port(30008, *PODS[:3]), port(30009, *PODS)))
    with rig.established(30008) as connection, rig.load(30008) as seen:
        for turn in range(300):
            some = PODS[turn % 2 : 2 + turn % 3]
            rig.converge(state(2 + turn, port(30008, *some), port(30009, *PODS[turn % 4 :])))
        alive(connection)
        more(seen, 20)
    assert seen.keys() == {"answered"}, seen
    assert rig.nodeportd("drift", str(rig.file)).code == 0


@pytest.mark.parametrize("times", [20, pytest.param(400, marks=pytest.mark.long)])
def test_connections_survive_restarts_and_whole_replacements(rig: Rig, times: int) -> None:
    """In a table that is deleted and made again, even at once, one in 180 times a packet finds an empty map."""
    rig.converge(state(1, port(30008, *PODS[:3]), port(30009)))
    with rig.established(30008) as connection, rig.load(30008) as seen:
        for _ in range(3):
            rig.stop()
            alive(connection)
            more(seen, 20)
            with rig.replacing():
                rig.serve()
        for _ in range(times):
            rig.mend()
        more(seen, 20)
        alive(connection)
    # Who finds an empty map comes to the node itself, where nobody listens. On a busy machine an answer may be late.
    assert [error for error in seen if error not in ("answered", "timed out")] == [], seen
    assert "made anew" not in rig.log.read_text()
    assert rig.nodeportd("drift", str(rig.file)).code == 0


def test_a_table_with_a_set_of_another_kind_is_made_anew(rig: Rig) -> None:
    rig.converge(state(1, port(30008, *PODS[:3])))
    rig.stop()
    rig.nft(
        "delete table ip nodeport; add table ip nodeport; add map ip nodeport services { type inet_service : mark; }"
    )
    with rig.replacing():
        rig.serve()
    assert rig.nodeportd("drift", str(rig.file)).code == 0
    assert rig.ask(30008)[0] in PODS[:3]


# What is refused


def test_a_state_that_is_not_understood_keeps_the_rules(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    applied_at = rig.status()["applied_at"]
    for bad in (b"\x00\xff", b"[" * 100_000, b"{}", b'{"version": 3}'):
        rig.give(bad)
        said = rig.status(generation=1, error="is refused, the rules stay as they are")
        assert said["applied_at"] == applied_at
        assert rig.ask(30008)[0] == PODS[0]
    assert rig.alive
    rig.converge(state(2, port(30009, PODS[0])))
    assert rig.ask(30009)[0] == PODS[0]


def test_a_state_file_that_vanishes_keeps_the_rules(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    rig.file.unlink()
    rig.hup()
    rig.status(generation=1, error="No such file")
    assert rig.ask(30008)[0] == PODS[0]


def test_a_bad_state_at_the_start_keeps_the_rules_of_before(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    rig.stop()
    rig.give(b"{}")
    rig.serve()
    rig.status(generation=0, error="field version is missing")
    assert rig.ask(30008)[0] == PODS[0]


def test_without_a_state_file_it_serves_nothing_and_says_so(rig: Rig) -> None:
    rig.serve()
    rig.status(generation=0, services=0, error="is missing: nothing is forwarded")
    rig.converge(state(3, port(30008, PODS[0])))
    assert rig.ask(30008)[0] == PODS[0]


# Its table, altered by others

ALTERATIONS = {
    "an element deleted": "delete element ip nodeport endpoints-3 { 10.99.0.1 . tcp . 30008 . 0:2 }",
    "an element altered": "delete element ip nodeport endpoints-3 { 10.99.0.1 . tcp . 30008 . 0:2 }; "
    "add element ip nodeport endpoints-3 { 10.99.0.1 . tcp . 30008 . 0:2 : 10.244.0.9 . 80 }",
    "an element in another set alike": "delete element ip nodeport hidden { 10.99.0.1 . udp . 30008 }",
    "a rule deleted that another chain has too": "flush chain ip nodeport output",
    "a rule added": "insert rule ip nodeport prerouting tcp dport 30008 drop",
    "a chain added": "add chain ip nodeport strange",
    "the table flushed": "flush table ip nodeport",
    "the table deleted": "delete table ip nodeport",
    "everything flushed": "flush ruleset",
}


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS.keys())
def test_drift_is_found_and_mended(rig: Rig, alteration: str) -> None:
    udp = port(30008, *PODS[:3], protocol="UDP")
    rig.converge(state(1, port(30008, *PODS[:3]), udp, port(30010)))
    assert rig.nodeportd("drift", str(rig.file)).code == 0
    rig.nft(alteration)
    found = rig.nodeportd("drift", str(rig.file))
    assert (found.code, found.err) == (1, "")
    assert found.out.strip()
    rig.mend()
    mended = rig.nodeportd("drift", str(rig.file))
    assert (mended.code, mended.out) == (0, "")
    assert {rig.ask(30008)[0] for _ in range(60)} == set(PODS[:3])


def test_drift_names_what_is_missing_and_what_is_foreign(rig: Rig) -> None:
    rig.converge(state(1, port(30008, *PODS[:2])))
    rig.nft(ALTERATIONS["an element altered"].replace("endpoints-3", "endpoints-2"))
    rig.nft(ALTERATIONS["a rule added"])
    assert rig.nodeportd("drift", str(rig.file)).out.splitlines() == [
        "+ chain prerouting: tcp dport 30008 drop",
        f"- map endpoints-2: 10.99.0.1 . tcp . 30008 . 0:2 : {PODS[1]} . 80",
        "+ map endpoints-2: 10.99.0.1 . tcp . 30008 . 0:2 : 10.244.0.9 . 80",
    ]


def test_drift_sees_a_state_that_is_not_in_force(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    rig.stop()
    rig.give(state(2, port(30008, PODS[0]), port(30009)))
    assert rig.nodeportd("drift", str(rig.file)).out == "- map services: 10.99.0.1 . tcp . 30009 : 0:1\n"


def test_a_change_that_does_not_fit_the_altered_table_replaces_it(rig: Rig) -> None:
    rig.converge(state(1, port(30008, *PODS[:3])))
    rig.nft("delete table ip nodeport")
    rig.converge(state(2, port(30008, *PODS[:2])))
    assert rig.spread(30008, 60).keys() == set(PODS[:2])
    assert "it is made anew" in rig.log.read_text()


@pytest.mark.parametrize(("family", "other"), [("IPv4", "ip6"), ("IPv6", "ip")])
def test_a_change_of_one_family_leaves_the_table_of_the_other_alone(rig: Rig, family: str, other: str) -> None:
    both = [NODE, "fd00:99::1"]
    rig.converge(whole(1, dual(PODS[0], "fd00:244::2"), addresses=both))
    rig.nft(f"add chain {other} nodeport strange")
    fewer = PODS[0] if family == "IPv6" else "fd00:244::2"
    rig.converge(whole(2, dual(fewer), addresses=both))
    assert rig.nodeportd("drift", str(rig.file)).out == "+ chain strange\n"
    rig.mend()
    assert rig.nodeportd("drift", str(rig.file)).out == ""
    rig.converge(whole(3, dual(PODS[0], "fd00:244::2"), addresses=both))
    assert rig.nodeportd("drift", str(rig.file)).out == ""


def dual(*addresses: str) -> dict[str, Any]:
    return service("both", port(30008, *addresses), ip_families=["IPv4", "IPv6"])


# Ends and beginnings


def test_rules_outlive_the_daemon(rig: Rig) -> None:
    rig.converge(state(1, port(30008, *PODS[:3])))
    assert rig.stop() == 0
    assert rig.spread(30008, 60).keys() == set(PODS[:3])


def test_killed_at_any_moment_it_comes_back_to_what_is_wanted(rig: Rig) -> None:
    rig.converge(state(1, *(port(30000 + number, *PODS[:3]) for number in range(200))))
    for turn in range(8):
        wanted = state(2 + turn, *(port(30000 + number, *PODS[: 1 + (turn + number) % 4]) for number in range(200)))
        rig.give(wanted)
        rig.stop(signal.SIGKILL)
        rig.serve()
        rig.status(generation=2 + turn)
        assert rig.nodeportd("drift", str(rig.file)).code == 0
        expected = set(PODS[: 1 + turn % 4])
        assert rig.spread(30000, 60).keys() == expected


def test_status_counts_what_is_in_force(rig: Rig) -> None:
    rig.converge(state(7, port(30008, *PODS[:3]), port(30009)))
    said = rig.status()
    applied_at = said.pop("applied_at")
    assert applied_at.endswith("Z")
    expected = {"version": 1, "backend": "nftables", "generation": 7, "services": 2, "endpoints": 3, "error": ""}
    assert said == {**expected, "ready": [], "unready": {}}


def test_a_status_that_could_not_be_written_is_written_later(rig: Rig) -> None:
    rig.converge(state(1, port(30008, *PODS[:3])))
    in_the_way = rig.runtime / ".status.json.part"
    in_the_way.mkdir()
    rig.give(state(2, port(30008, PODS[0])))
    clock.until(lambda: _logged(rig, "cannot write"), what="a complaint", within=10)
    assert rig.spread(30008, 20).keys() == {PODS[0]}, "in force all the same"
    in_the_way.rmdir()
    rig.status(generation=2)


def _logged(rig: Rig, words: str) -> None:
    if words not in rig.log.read_text():
        raise clock.NotYet(rig.log.read_text()[-300:])


def test_systemd_hears_of_readiness_when_the_rules_are_in_force(rig: Rig, tmp_path: Path) -> None:
    rig.give(state(1, port(30008, PODS[0])))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        rig.serve(notify=tmp_path / "notify")
        assert systemd.recv(200) == b"STATUS=generation 1, 1 Services"
        assert rig.ask(30008)[0] == PODS[0]
        assert systemd.recv(200) == b"READY=1"
        rig.stop()
        assert systemd.recv(200) == b"STOPPING=1"


# The case folders on this kernel

CASES = sorted(Path(__file__).parents[1].glob("cases/forwarder/*/expected.nft"))


@pytest.mark.parametrize("expected", CASES, ids=lambda path: path.parent.name)
def test_the_kernel_takes_every_case_and_ends_at_the_wanted_table(rig: Rig, expected: Path) -> None:
    before = expected.parent / "before.json"
    if before.exists():
        rig.nft_file(process.check(rig.argv("render", str(before)), what="render").out)
    for step in expected.read_text().split("# then\n"):
        rig.nft_file(step)
    found = rig.nodeportd("drift", str(expected.parent / "state.json"))
    assert (found.code, found.out, found.err) == (0, "", "")


# What the kernel is told


@contextlib.contextmanager
def told(rig: Rig) -> Iterator[list[str]]:
    """Within: all that changes in nftables on the node is written down; there when the block is left."""
    lines: list[str] = []
    listen = ["ip", "netns", "exec", rig.node, "stdbuf", "-oL", "nft", "monitor"]
    with process.start(listen, stdout=process.PIPE) as monitor:
        assert monitor.stdout is not None
        hear = threading.Thread(target=lambda out: lines.extend(map(bytes.decode, out)), args=(monitor.stdout,))
        hear.start()

        def marked(mark: str) -> None:
            rig.nft(f"add table ip {mark}; delete table ip {mark}")
            if not any(mark in line for line in [*lines]):
                raise clock.NotYet(f"{lines}")

        heard: list[str] = []
        try:
            clock.until(lambda: marked("begun"), what="nft monitor to listen", within=10)
            begun = len(lines)
            yield heard
            clock.until(lambda: marked("over"), what="nft monitor to tell all", within=10)
            ours = (line.strip() for line in lines[begun:] if not re.search(r"table ip (begun|over)|# new gen", line))
            heard.extend(ours)
        finally:
            process.end_group(monitor)
            hear.join()


def test_a_change_of_one_endpoint_touches_its_service_alone(rig: Rig) -> None:
    """As the kernel tells who listens: elements of that nodePort, and not a rule, chain or table."""
    numbers = range(30000, 30020)
    before = [port(number, *PODS[: number % 4]) for number in numbers]  # as many as there are ways to pick
    rig.converge(state(1, *before))
    for generation, addresses in ((2, (*PODS[:2], PODS[3])), (3, PODS[:2]), (4, ())):
        with told(rig) as heard:
            rig.converge(state(generation, *before[:7], port(30007, *addresses), *before[8:]))
        assert heard, generation
        assert all(" element ip nodeport " in line for line in heard), heard
        seen = {int(number) for line in heard for number in re.findall(r"\b300\d\d\b", line)}
        assert seen <= {30007}, heard
