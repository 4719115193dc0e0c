"""Foreign servers, asked for real: who answers, and which client it saw, wherever the answer says it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from harness.model.observation import OUTSIDE, Ask, Attempt, Find, Job, Outcome, Place, Speak, Target
from harness.model.workload import Protocol
from harness.probes import answers
from harness.probes.pace import Pace
from harness.probes.prober import Prober

Serve = Callable[[Callable[[socket.socket], None]], int]
StartProber = Callable[[Pace], Prober]

SOON = Pace(connect_seconds=0.5, answer_seconds=0.5)
BODY = b'{"pod": {"name": "web-1", "turn": 7}, "client": "::ffff:10.0.0.9"}'
HTTP = b"HTTP/1.1 200 OK\r\nX-Backend: b-1\r\nX-Client: 10.0.0.9:40000\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
BANNER = Place(Find.REGEX, r"^220 (\S+)")


def asked(port: int, ask: Ask, start_prober: StartProber, protocol: Protocol = Protocol.TCP) -> Attempt:
    [attempt] = start_prober(SOON).run([Job(OUTSIDE, Target("n1", "127.0.0.1", port, protocol), 1, ask)])
    return attempt


@pytest.mark.parametrize(
    ("name", "client", "expected"),
    [
        (Place(Find.HEADER, "x-backend"), Place(Find.HEADER, "X-Client"), ("b-1", "10.0.0.9:40000")),
        (Place(Find.JSON, "pod.name"), Place(Find.JSON, "client"), ("web-1", "10.0.0.9:0")),
        (Place(Find.JSON, "pod.turn"), None, ("7", "")),
        (Place(Find.REGEX, r"X-Backend: (\S+)"), Place(Find.HEADER, "X-Other"), ("b-1", "")),
        (Place(Find.REGEX, r"web-\d"), None, ("web-1", "")),
    ],
)
def test_http_says_it_anywhere(
    name: Place, client: Place | None, expected: tuple[str, str], serve: Serve, start_prober: StartProber
) -> None:
    def handle(connection: socket.socket) -> None:
        assert connection.recv(4096).startswith(b"GET /who HTTP/1.1\r\n")
        connection.sendall(HTTP)
        connection.recv(1)

    attempt = asked(serve(handle), Ask(request="/who", name=name, client=client), start_prober)
    assert (attempt.outcome, attempt.responder, attempt.seen_source, attempt.detail) == (Outcome.OK, *expected, "")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (Place(Find.HEADER, "X-Pod"), "the answer has no header X-Pod"),
        (Place(Find.JSON, "pod"), "the field pod is neither text nor a number"),
        (Place(Find.JSON, "node"), "the answer has no field node"),
        (Place(Find.REGEX, "nothing(.*)"), 'nothing matches nothing(.*): \'{"pod"'),
        (Place(Find.REGEX, "(zzz)?pod"), "what the pattern matches is no name: ''"),
    ],
)
def test_an_answer_that_does_not_say_who_is_bad(place: Place, told: str) -> None:
    outcome, responder, _, detail = answers.read(Ask(name=place), HTTP.decode("latin-1"))
    assert (outcome, responder) == (Outcome.BAD_ANSWER, "")
    assert told in detail


def test_a_server_that_speaks_first(serve: Serve, start_prober: StartProber) -> None:
    def handle(connection: socket.socket) -> None:
        connection.sendall(b"220 mail-2 ESMTP\r\n")
        connection.recv(1)

    attempt = asked(serve(handle), Ask(Speak.LINE, "", BANNER), start_prober)
    assert (attempt.outcome, attempt.responder) == (Outcome.OK, "mail-2")


def test_a_line_that_is_asked_for_and_ended_by_the_server(serve: Serve, start_prober: StartProber) -> None:
    def handle(connection: socket.socket) -> None:
        assert connection.recv(10) == b"who\n"
        connection.sendall(b"redis-3")

    assert asked(serve(handle), Ask(Speak.LINE, "who\n"), start_prober).responder == "redis-3"


def test_a_line_without_end_is_a_bad_answer(serve: Serve, start_prober: StartProber) -> None:
    def handle(connection: socket.socket) -> None:
        connection.sendall(b"x" * 10_000)
        connection.recv(1)

    attempt = asked(serve(handle), Ask(Speak.LINE, ""), start_prober)
    assert (attempt.outcome, attempt.detail) == (Outcome.BAD_ANSWER, "no line ends within 8192 bytes")


def test_a_datagram(serve_udp: Callable[[bytes | None], int], start_prober: StartProber) -> None:
    ask = Ask(Speak.DATAGRAM, "hostname", Place(Find.REGEX, r"name=(\w+)"))
    attempt = asked(serve_udp(b"name=dns1;"), ask, start_prober, Protocol.UDP)
    assert (attempt.outcome, attempt.responder) == (Outcome.OK, "dns1")


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("10.0.0.9", "10.0.0.9:0"), ("10.0.0.9:80", "10.0.0.9:80"), ("::1", "::1:0"), ("[fd00::1]:80", "fd00::1:80"),
        ("[::ffff:10.0.0.9]:80", "10.0.0.9:80"), ("nobody", ""), ("", ""),
    ],
)  # fmt: skip
def test_client_addresses_in_every_spelling(told: str, meant: str) -> None:
    ask = Ask(client=Place(Find.HEADER, "X-Client"))
    raw = f"HTTP/1.1 200 OK\r\nX-Client: {told}\r\n\r\nweb-1"
    assert answers.read(ask, raw) == (Outcome.OK, "web-1", meant, "")
