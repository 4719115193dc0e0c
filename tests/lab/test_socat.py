"""The relay behind the forwarder socat: its bounds, its own death, and who may tell it what."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.support import clock, process
from tests.lab.nodeportd_rig import NODE, PODS, PYTHON, Rig, alive, inside, port, serving, state

pytestmark = pytest.mark.lab


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, "socat") as rig:
        yield rig


def test_more_clients_than_may_be_wait_until_one_goes(rig: Rig) -> None:
    rig.most = 3
    rig.converge(state(1, port(30008, PODS[0])))
    with ExitStack() as held, inside(rig.client):
        first, *others = [held.enter_context(socket.create_connection((NODE, 30008), 5)) for _ in range(3)]
        for way in (first, *others):
            alive(way)
        late = held.enter_context(socket.create_connection((NODE, 30008), 5))
        late.send(b"?")
        late.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.recv(100)
        assert rig.held()[0] == 3
        first.close()
        late.settimeout(5)
        assert late.recv(100)
    assert "3 connections are the most" in rig.log.read_text()


def test_killed_it_goes_on_with_what_it_was_told_last_and_nobody_has_to_tell_it(rig: Rig) -> None:
    rig.converge(state(1, port(30008, *PODS[:2])))
    assert rig.stop() == 0
    rig.stop_relay(signal.SIGKILL)
    with pytest.raises(ConnectionRefusedError):
        rig.ask(30008)
    assert rig.nodeportd("drift", str(rig.file)).out == "- nodeport-socat.service does not run\n"
    rig.relay()
    assert rig.spread(30008, 60).keys() == set(PODS[:2])
    assert rig.nodeportd("drift", str(rig.file)).code == 0


def test_its_end_leaves_no_process(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    with rig.established(30008) as connection:
        assert rig.held()[0] == 1
        rig.end_relay()
        assert connection.recv(100) == b""
    assert "socat" not in process.check(["ip", "netns", "pids", rig.node], what="look").out
    shown = process.run(["ip", "netns", "exec", rig.node, "ss", "-Hltn"]).out
    assert "30008" not in shown


def test_a_port_that_somebody_has_is_said_and_the_others_are_forwarded(rig: Rig) -> None:
    with serving(rig.node, NODE, 30008):
        rig.give(state(1, port(30008, PODS[0]), port(30009, PODS[1])))
        rig.serve()
        rig.status(error=f"cannot listen at {NODE}:30008 for default/service-0: Address already in use")
        assert rig.ask(30009)[0] == PODS[1]
    rig.hup()
    rig.status(generation=1)
    assert rig.ask(30008)[0] == PODS[0]


def test_drift_names_what_leads_elsewhere(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0]), port(30009, PODS[0])))
    rig.stop()
    rig.give(state(2, port(30008, PODS[1]), port(30010, PODS[0])))
    assert rig.nodeportd("drift", str(rig.file)).out.splitlines() == [
        "- tcp 10.99.0.1:30010 of default/service-1",
        "- tcp 127.0.0.1:30010 of default/service-1",
        "+ tcp 10.99.0.1:30009 of default/service-1",
        "+ tcp 127.0.0.1:30009 of default/service-1",
        "~ tcp 10.99.0.1:30008 of default/service-0 leads elsewhere",
        "~ tcp 127.0.0.1:30008 of default/service-0 leads elsewhere",
    ]


def test_a_relay_too_busy_to_tell_is_told_from_one_that_leads_elsewhere(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    relay = rig.relay()
    relay.send_signal(signal.SIGSTOP)
    try:
        busy = rig.nodeportd("drift", str(rig.file))
    finally:
        relay.send_signal(signal.SIGCONT)
    assert (busy.code, busy.out) == (3, "")
    assert "was too busy to answer within 5 s" in busy.err
    assert rig.nodeportd("drift", str(rig.file)).code == 0


STRANGER = """
import json, os, socket, sys
os.setgid(65534), os.setuid(65534)
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
try:
    line.sendall(json.dumps({"routes": [], "end": True}).encode())
    line.shutdown(socket.SHUT_WR)
    print(line.recv(100))
except (BrokenPipeError, ConnectionResetError):
    print(b"")
"""


def test_only_root_is_listened_to(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    for folder in (rig.runtime, *rig.runtime.parents):
        if folder.stat().st_mode & 0o777 == 0o700:  # pytest's own
            folder.chmod(0o755)
    said = process.check([PYTHON, "-c", STRANGER, rig.runtime / "control"], what="ask as nobody").out
    assert said == "b''\n"
    assert rig.relay_running
    assert rig.ask(30008)[0] == PODS[0]


def test_nonsense_from_root_does_not_end_it(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0])))
    for nonsense in (b"", b"\xff", b"[]", b"7", b'{"routes": 7}', json.dumps({"routes": [{"address": "x"}]}).encode()):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(rig.runtime / "control"))
            line.sendall(nonsense)
            line.shutdown(socket.SHUT_WR)
            line.recv(10_000)
    assert rig.ask(30008)[0] == PODS[0]
    assert rig.relay_running


def test_a_dead_pod_is_told_by_a_reset_or_an_end_never_by_silence(rig: Rig) -> None:
    rig.converge(state(1, port(30008, PODS[0], target=81)))
    with inside(rig.client), socket.create_connection((NODE, 30008), 5) as way, suppress(ConnectionResetError):
        assert way.recv(100) == b""
    clock.until(lambda: _none(rig), what="its process to end", within=5)


def _none(rig: Rig) -> None:
    if rig.held()[0]:
        raise clock.NotYet(f"{rig.held()}")
