"""A live prober: order, bounds, stalls, its own faults, and its end."""

from __future__ import annotations

import ast
import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import RemoteError
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Attempt, Job, Outcome, Target
from harness.model.workload import Protocol
from harness.probes.pace import Pace, parts
from harness.probes.prober import Prober, open_probers
from harness.probes.transport import PROGRAM, LocalStreams
from harness.support import clock

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nNodeport-Pod-Uid: u1\r\n\r\npod-1"

QUICK_SERVER = Path(__file__).with_name("quick_server.py")


@pytest.fixture
def quick_server() -> Iterator[int]:
    """A server in a process of its own, quick enough not to be what is measured."""
    with subprocess.Popen([sys.executable, QUICK_SERVER, "127.0.0.1", "0"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())
        child.kill()


def target(port: int) -> Target:
    """A target on loopback."""
    return Target("n1", "127.0.0.1", port, Protocol.TCP)


def test_ten_thousand_attempts_leave_no_time_wait(quick_server: int, start_prober: Callable[[Pace], Prober]) -> None:
    prober = start_prober(Pace())
    attempts = prober.run([Job(OUTSIDE, target(quick_server), 10_000)])
    assert Counter(attempt.outcome for attempt in attempts) == {Outcome.OK: 10_000}
    assert len({attempt.source_port for attempt in attempts}) > 5_000
    assert quick_server not in time_waits()


def time_waits() -> set[int]:
    """Ports on loopback that a connection in TIME_WAIT (state 06) has at either end."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(end.split(":")[1], 16) for row in rows if row[3] == "06" for end in row[1:3]}


def test_attempts_of_all_jobs_come_mixed_in_an_order_that_the_seed_decides(quick_server: int) -> None:
    jobs = [Job(OUTSIDE, target(quick_server), 50), Job(OUTSIDE, Target("n2", "127.0.0.2", 1, Protocol.TCP), 50)]

    def order(seed: int) -> list[str]:
        prober = Prober(OUTSIDE, LocalStreams(None), pace=Pace(concurrency=1), seed=seed)
        try:
            return [attempt.target.node for attempt in prober.run(jobs)]
        finally:
            prober.close()

    first = order(1)
    assert Counter(first) == {"n1": 50, "n2": 50}
    assert sum(one != next_one for one, next_one in itertools.pairwise(first)) > 20
    assert order(1) == first
    assert order(2) != first


def test_no_more_in_flight_than_asked_for(start_prober: Callable[[Pace], Prober], tmp_path: Path) -> None:
    most = peak_of_server(start_prober(Pace(concurrency=3)))
    assert most == 3


def peak_of_server(prober: Prober) -> int:
    """The largest number of connections that a slow server ever had at once."""
    lock, now, most = threading.Lock(), 0, 0

    def handle(connection: socket.socket) -> None:
        nonlocal now, most
        with connection:
            with lock:
                now += 1
                most = max(most, now)
            connection.recv(4096)
            threading.Event().wait(0.02)
            with lock:
                now -= 1
            connection.sendall(ANSWER)

    def accept() -> None:
        for _ in range(30):
            threading.Thread(target=handle, args=(listening.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        prober.run([Job(OUTSIDE, target(listening.getsockname()[1]), 30)])
        thread.join(10)
    return most


def test_a_rate_is_kept(quick_server: int, start_prober: Callable[[Pace], Prober]) -> None:
    prober = start_prober(Pace(rate=100))
    began = clock.monotonic()
    assert len(prober.run([Job(OUTSIDE, target(quick_server), 51)])) == 51
    assert 0.5 <= clock.monotonic() - began < 4


def test_who_waits_for_a_round_hears_every_second_how_far_it_is(
    quick_server: int, start_prober: Callable[[Pace], Prober]
) -> None:
    heard: list[tuple[str, int]] = []
    prober = start_prober(Pace(rate=20))
    prober.run([Job(OUTSIDE, target(quick_server), 31)], heard=lambda vantage, done: heard.append((vantage, done)))
    assert [vantage for vantage, _ in heard] == [OUTSIDE]
    assert 10 < heard[0][1] <= 25


def test_what_may_be_under_way_is_dealt_out_by_what_each_is_asked() -> None:
    one, other = target(30008), Target("n2", "127.0.0.2", 30008, Protocol.TCP)
    jobs = {OUTSIDE: [Job(OUTSIDE, one, 2000), Job(OUTSIDE, other, 700)], "n1": [Job("n1", one, 900)],
            "pod/a": [Job("pod/a", one, 20)]}  # fmt: skip
    assert parts(jobs, 4) == {OUTSIDE: 5, "n1": 1, "pod/a": 1}
    assert parts({OUTSIDE: [Job(OUTSIDE, one, 339)]}, 4) == {OUTSIDE: 4}, "one node alone is not asked more"
    assert parts(jobs, 0) == {}
    assert parts({}, 4) == {}


def test_a_stalled_prober_marks_what_was_in_flight_and_nothing_else(serve: Callable[..., int]) -> None:
    reached, answer_now = threading.Event(), threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        reached.set()
        answer_now.wait(10)
        connection.sendall(ANSWER)
        connection.recv(1)

    port = serve(handle)
    streams = LocalStreams(None)
    prober = Prober(OUTSIDE, streams, pace=Pace(concurrency=1, answer_seconds=0.5))
    result: list[tuple[Attempt, ...]] = []
    thread = threading.Thread(target=lambda: result.append(prober.run([Job(OUTSIDE, target(port), 2)])))
    try:
        thread.start()
        assert reached.wait(5)
        os.kill(streams.pid, signal.SIGSTOP)
        threading.Event().wait(0.8)  # longer than the answer may take: the time it stood still must not count
        os.kill(streams.pid, signal.SIGCONT)
        answer_now.set()
        thread.join(10)
    finally:
        prober.close()
    assert [(attempt.outcome, attempt.stalled) for attempt in result[0]] == [(Outcome.OK, True), (Outcome.OK, False)]


def test_what_the_prober_itself_lacks_is_no_outcome(quick_server: int) -> None:
    streams = LocalStreams(None)
    prober = Prober(OUTSIDE, streams)
    try:
        resource.prlimit(streams.pid, resource.RLIMIT_NOFILE, (6, 6))
        with pytest.raises(
            RemoteError, match=r"outside: the prober itself failed: \d+ times EMFILE: Too many open files"
        ):
            prober.run([Job(OUTSIDE, target(quick_server), 500)])
    finally:
        prober.close()


def test_attempts_that_no_time_was_left_for_are_not_lost_in_silence(
    quick_server: int, start_prober: Callable[[Pace], Prober]
) -> None:
    prober = start_prober(Pace(rate=10, seconds=0.25))
    with pytest.raises(RemoteError, match=r"too slow: \d+ attempts were not begun within 0.25 s"):
        prober.run([Job(OUTSIDE, target(quick_server), 1000)])
    assert len(prober.run([Job(OUTSIDE, target(quick_server), 1)])) == 1


def test_a_prober_that_dies_says_so_with_its_last_words(quick_server: int) -> None:
    streams = LocalStreams(None)
    prober = Prober("n7", streams)
    os.kill(streams.pid, signal.SIGKILL)
    with pytest.raises(RemoteError, match="n7: the probe program is gone: it ended without a word"):
        prober.run([Job("n7", target(quick_server), 1)])
    prober.close()


def test_a_namespace_that_is_not_there_is_a_fault_of_the_rig(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=f"outside: the probe program is gone: nsenter: .*{tmp_path}/gone"):
        Prober(OUTSIDE, LocalStreams(tmp_path / "gone"))


def test_the_program_ends_when_its_stdin_does_even_amid_a_batch() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        subprocess.Popen([sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["ready"] == 1
        job = {"id": 0, "address": "127.0.0.1", "port": silent.getsockname()[1], "protocol": "TCP", "count": 1}
        times = {"request": "/hostname", "speak": "http", "raw": False, "connect_timeout": 60, "answer_timeout": 60}
        batch = {"seed": 1, "concurrency": 1, "rate": 0, "seconds": 60, "jobs": [job | times]}
        child.stdin.write(json.dumps(batch).encode() + b"\n")
        child.stdin.flush()
        with silent.accept()[0]:
            assert b"alive" in child.stdout.readline()
            child.stdin.close()
            assert child.wait(5) == 0


def test_the_program_needs_the_standard_library_of_python_3_9_alone() -> None:
    tree = ast.parse(PROGRAM.read_text(), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


@pytest.mark.usefixtures("ctrl_c")
def test_a_ctrl_c_does_not_wait_for_the_batch(serve: Callable[..., int]) -> None:
    def interrupts(connection: socket.socket) -> None:
        connection.recv(4096)
        os.kill(os.getpid(), signal.SIGINT)
        connection.recv(1)

    cluster = Cluster("lab", "uid", "none", (), Path("/nowhere"), Path("/nowhere"))
    job = Job(OUTSIDE, target(serve(interrupts)), 1)
    began = clock.monotonic()
    with (
        pytest.raises(KeyboardInterrupt),
        open_probers(cluster, (OUTSIDE,), pace=Pace(answer_seconds=60)) as probers,
    ):
        probers.ask({OUTSIDE: [job]})
    assert clock.monotonic() - began < 5
