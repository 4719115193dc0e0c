"""Small real servers on loopback, and a live prober that is always ended."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from harness.model.observation import OUTSIDE
from harness.probes.pace import Pace
from harness.probes.prober import Prober
from harness.probes.transport import LocalStreams

Handler = Callable[[socket.socket], None]
"""What is done with one accepted connection, in a thread of its own; the connection is closed after it."""


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], int]]:
    """Starts a TCP server on 127.0.0.1 that treats every connection so; gives its port."""
    with ExitStack() as stack:
        yield lambda handle: stack.enter_context(_tcp(handle))


@pytest.fixture
def serve_udp() -> Iterator[Callable[[bytes | None], int]]:
    """Starts a UDP server that gives every datagram this answer, or none; gives its port."""
    with ExitStack() as stack:
        yield lambda reply: stack.enter_context(_udp(reply))


@pytest.fixture
def start_prober() -> Iterator[Callable[[Pace], Prober]]:
    """Starts a prober in this machine's own namespace."""
    with ExitStack() as stack:

        def start(pace: Pace) -> Prober:
            prober = Prober(OUTSIDE, LocalStreams(None), pace=pace)
            stack.callback(prober.close)
            return prober

        yield start


@contextmanager
def _tcp(handle: Handler) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        thread = threading.Thread(target=_accept, args=(listening, handle))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _accept(listening: socket.socket, handle: Handler) -> None:
    threads: list[threading.Thread] = []
    with suppress(OSError):  # shutdown ends accept
        while True:
            connection, _ = listening.accept()
            threads.append(threading.Thread(target=_handle, args=(connection, handle)))
            threads[-1].start()
    for thread in threads:
        thread.join(10)


def _handle(connection: socket.socket, handle: Handler) -> None:
    with connection, suppress(OSError):  # the client resets, as it should
        connection.settimeout(10)
        handle(connection)


@contextmanager
def _udp(reply: bytes | None) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_datagrams, args=(sock, reply))
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            sock.sendto(b"end", sock.getsockname())
            thread.join(10)


def _datagrams(sock: socket.socket, reply: bytes | None) -> None:
    while True:
        data, client = sock.recvfrom(4096)
        if data == b"end":
            return
        if reply is not None and data == b"hostname":
            sock.sendto(reply, client)
