"""When pods are asked, and what comes of it, with sockets of this machine's loopback and a clock of the test's own."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest
from nodeportd.checks import Check
from nodeportd.prober import TICK, Prober

TURNS = 200


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield listener


def asked(prober: Prober) -> None:
    """Every pod has answered, in whatever way."""
    for _ in range(TURNS):
        prober.turn(0.05)
        if all(record.run for record in prober.records.values()):
            return
    raise AssertionError(prober.records)


def test_pods_that_come_are_asked_at_once_and_together_when_they_are_due_soon_after_each_other(
    selector: selectors.BaseSelector, listener: socket.socket
) -> None:
    clock, port = Clock(), listener.getsockname()[1]
    prober = Prober(selector, clock)
    prober.follow([Check(f"default/web-{n}", "127.0.0.1", "tcp", port, period_seconds=1) for n in range(100)], {})
    assert prober.patience() == 0.0
    asked(prober)
    due = sorted(record.due for record in prober.records.values())
    assert prober.patience() == pytest.approx(due[0] - clock.now + TICK)
    clock.now = due[0] + TICK
    together = [each for each in due if each <= clock.now]
    assert len(together) > 1, "the test is about pods that are due soon after each other"
    assert prober.patience() == 0.0
    before = prober.records.copy()
    for _ in range(TURNS):
        prober.turn(0.05)
        answered = [pod for pod, record in prober.records.items() if record is not before[pod]]
        if len(answered) == len(together):
            break
    assert sorted(before[pod].due for pod in answered) == together


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_a_port_where_nobody_listens_is_told_at_once(kind: str, selector: selectors.BaseSelector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    prober = Prober(selector, Clock())
    prober.follow([Check("default/web", "127.0.0.1", kind, port)], {})
    asked(prober)
    assert prober.records["default/web"].why == "connection refused"


@pytest.mark.parametrize(("status", "ready"), [("200 OK", True), ("399 Odd", True), ("503 Later", False)])
def test_an_answer_over_http(
    status: str, ready: bool, selector: selectors.BaseSelector, listener: socket.socket
) -> None:
    prober = Prober(selector, Clock())
    prober.follow([Check("default/web", "127.0.0.1", "http", listener.getsockname()[1], path="/readyz")], {})
    prober.turn(0.0)
    connection, _ = listener.accept()
    for _ in range(TURNS):
        prober.turn(0.0)  # it is asked as soon as the connection is there
    assert connection.recv(1000).startswith(b"GET /readyz HTTP/1.1\r\n")
    connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
    asked(prober)
    connection.close()
    assert prober.records["default/web"].ready == ready
