"""Every outcome reached for real, by servers that behave so."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import pytest

from harness.model.observation import OUTSIDE, Attempt, Job, Outcome, Target
from harness.model.workload import Protocol
from harness.probes.pace import Pace
from harness.probes.prober import Prober

Handler = Callable[[socket.socket], None]
Serve = Callable[[Handler], int]
StartProber = Callable[[Pace], Prober]

SOON = Pace(connect_seconds=0.5, answer_seconds=0.5)
HEADERS = ("Nodeport-Pod-Uid: 0f3c", "Nodeport-Client: 10.0.0.9:40000", "Server: nginx/1.22")


def http(body: bytes, *headers: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """An HTTP answer with its Content-Length."""
    lines = [f"HTTP/{version} {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def says(*pieces: bytes) -> Handler:
    """Reads the request, sends the pieces as segments of their own, and stays until the client closes."""

    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        connection.recv(1)

    return handle


def says_and_closes(*pieces: bytes) -> Handler:
    """Reads the request, sends the pieces, closes first."""

    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        for piece in pieces:
            connection.sendall(piece)

    return handle


def resets(connection: socket.socket) -> None:
    """Reads the request and resets."""
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def probe(prober: Prober, port: int, protocol: Protocol = Protocol.TCP, address: str = "127.0.0.1") -> Attempt:
    """One attempt."""
    (attempt,) = prober.run([Job(OUTSIDE, Target("n1", address, port, protocol), 1)])
    return attempt


def test_who_answered_and_how_long_it_took_is_recorded(serve: Serve, start_prober: StartProber) -> None:
    seen: list[int] = []

    def handle(connection: socket.socket) -> None:
        seen.append(connection.getpeername()[1])
        says(http(b"web-app-x2x7k\n", *HEADERS))(connection)

    attempt = probe(start_prober(SOON), serve(handle))
    assert (attempt.outcome, attempt.responder, attempt.uid) == (Outcome.OK, "web-app-x2x7k", "0f3c")
    assert attempt.seen_source == "10.0.0.9:40000"
    assert [attempt.source_port] == seen
    assert attempt.connect_ms is not None
    assert attempt.total_ms is not None
    assert 0 < attempt.connect_ms <= attempt.total_ms < 400
    assert not attempt.stalled


def test_a_foreign_responder_is_told_by_its_name_and_its_missing_uid(serve: Serve, start_prober: StartProber) -> None:
    attempt = probe(start_prober(SOON), serve(says(http(b"some-other-machine"))))
    assert (attempt.outcome, attempt.responder, attempt.uid) == (Outcome.OK, "some-other-machine", "")


WHOLE = http(b"pod-1", *HEADERS)


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param(says(*(WHOLE[at : at + 1] for at in range(len(WHOLE)))), id="byte by byte"),
        pytest.param(says_and_closes(WHOLE), id="server closes after it"),
        pytest.param(says_and_closes(http(b"pod-1", version="1.0")), id="HTTP/1.0"),
        pytest.param(says_and_closes(b"HTTP/1.0 200 OK\r\n\r\npod", b"-1"), id="ends by closing"),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npod\r\n2;x=y\r\n", b"-1\r\n0\r\n\r\n"),
            id="chunked",
        ),
    ],
)
def test_an_answer_is_one_however_it_comes(handle: Handler, serve: Serve, start_prober: StartProber) -> None:
    attempt = probe(start_prober(SOON), serve(handle))
    assert (attempt.outcome, attempt.responder, attempt.detail) == (Outcome.OK, "pod-1", "")


@pytest.mark.parametrize(
    ("handle", "outcome", "detail"),
    [
        pytest.param(resets, Outcome.RESET, "ECONNRESET: Connection reset by peer", id="reset"),
        pytest.param(says_and_closes(), Outcome.CLOSED, "", id="closed"),
        pytest.param(says(), Outcome.HANG, "", id="silent"),
        pytest.param(says(WHOLE[:-2]), Outcome.HANG, f"the answer stopped after {len(WHOLE) - 2} bytes", id="stops"),
        pytest.param(
            says_and_closes(WHOLE[:-2]), Outcome.BAD_ANSWER, "the server closed after 3 bytes of the body", id="cut"
        ),
        pytest.param(says(b"SSH-2.0-x\r\nInvalid"), Outcome.BAD_ANSWER, "not HTTP: b'SSH-2.0-x'", id="not HTTP"),
        pytest.param(
            says(http(b"no", *HEADERS, status="404 Not Found")),
            Outcome.BAD_ANSWER,
            "HTTP 404, Server: nginx/1.22",
            id="404",
        ),
        pytest.param(says(http(b"\xff\x00")), Outcome.BAD_ANSWER, "not a hostname: b'\\xff\\x00'", id="garbage body"),
        pytest.param(says(http(b"")), Outcome.BAD_ANSWER, "not a hostname: b''", id="empty body"),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
            Outcome.BAD_ANSWER,
            "Content-Length is 'many'",
            id="length",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            Outcome.BAD_ANSWER,
            "a chunk begins with b'zz'",
            id="chunk",
        ),
        pytest.param(
            says(http(b"x" * 200_000)), Outcome.BAD_ANSWER, "the answer is longer than 65536 bytes", id="too long"
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\n" + b"X-Pad: y\r\n" * 20_000),
            Outcome.BAD_ANSWER,
            "the answer is longer than 65536 bytes",
            id="endless head",
        ),
    ],
)
def test_each_way_to_fail_after_the_connect(
    handle: Handler, outcome: Outcome, detail: str, serve: Serve, start_prober: StartProber
) -> None:
    attempt = probe(start_prober(SOON), serve(handle))
    assert (attempt.outcome, attempt.detail, attempt.responder) == (outcome, detail, "")
    assert attempt.connect_ms is not None


def test_a_slow_answer_within_the_time_is_one(serve: Serve, start_prober: StartProber) -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        threading.Event().wait(0.3)
        connection.sendall(http(b"pod-1"))
        connection.recv(1)

    attempt = probe(start_prober(SOON), serve(handle))
    assert attempt.outcome is Outcome.OK
    assert attempt.total_ms is not None
    assert attempt.connect_ms is not None
    assert attempt.total_ms > 300
    assert attempt.connect_ms < 200


def test_a_port_on_which_nobody_listens_refuses(start_prober: StartProber) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        attempt = probe(start_prober(SOON), bound.getsockname()[1])
    assert (attempt.outcome, attempt.connect_ms) == (Outcome.REFUSED, None)
    assert attempt.source_port > 0


def test_a_full_accept_queue_is_a_timeout(start_prober: StartProber) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            attempt = probe(start_prober(SOON), port)
    assert (attempt.outcome, attempt.connect_ms) == (Outcome.TIMEOUT, None)
    assert attempt.total_ms == pytest.approx(500, abs=200)


def test_udp_answers(serve_udp: Callable[[bytes | None], int], start_prober: StartProber) -> None:
    attempt = probe(start_prober(SOON), serve_udp(b"pod-1"), Protocol.UDP)
    assert (attempt.outcome, attempt.responder) == (Outcome.OK, "pod-1")
    assert (attempt.connect_ms, attempt.detail) == (None, "")


def test_udp_rubbish(serve_udp: Callable[[bytes | None], int], start_prober: StartProber) -> None:
    attempt = probe(start_prober(SOON), serve_udp(b"a b"), Protocol.UDP)
    assert (attempt.outcome, attempt.detail) == (Outcome.BAD_ANSWER, "not a hostname: b'a b'")


def test_udp_silence_is_a_timeout(serve_udp: Callable[[bytes | None], int], start_prober: StartProber) -> None:
    assert probe(start_prober(SOON), serve_udp(None), Protocol.UDP).outcome is Outcome.TIMEOUT


def test_udp_sees_that_it_is_refused(start_prober: StartProber) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.connect(("127.0.0.1", 9))  # takes datagrams from there alone, so that nobody takes ours
        attempt = probe(start_prober(SOON), other.getsockname()[1], Protocol.UDP)
    assert attempt.outcome is Outcome.REFUSED
