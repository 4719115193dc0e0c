"""A pod's responder on loopback, as its unit would start it, and a client that says exactly what it is told to."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.support import process

FILES = Path(__file__).parents[3] / "playbooks/roles/workload/files"
HEADERS = ("nodeport-pod", "nodeport-pod-uid", "nodeport-client")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: its status, its headers in lower case, its body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Responder:
    """A responder that runs: its process and the ports that it opened."""

    child: process.Process[bytes]
    tcp: tuple[int, ...]
    udp: tuple[int, ...]

    def connect(self, port: int | None = None) -> Client:
        """A new connection to one of its TCP ports, the first when none is named."""
        return Client(socket.create_connection(("127.0.0.1", port or self.tcp[0]), timeout=10))

    def get(self, path: str, *headers: str, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        with self.connect() as client:
            client.send(request(path, *headers, method=method))
            return client.answer(body=method != "HEAD")

    def ended(self) -> int:
        """Its exit code, when it ends by itself soon."""
        return self.child.wait(timeout=10)


class Client:
    """A connection, byte by byte."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.buffer = sock, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    @property
    def name(self) -> str:
        """Our end, as the other one sees it."""
        host, port = self.sock.getsockname()
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.sock.sendall(data)

    def answer(self, *, body: bool = True) -> Answer:
        """The next answer; what follows it stays for the next call."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", "0")) if body else 0
        while len(self.buffer) < length:
            self._more()
        text, self.buffer = self.buffer[:length], self.buffer[length:]
        assert all(name in headers for name in HEADERS), headers
        return Answer(int(first.split(" ")[1]), headers, text)

    def at_end(self) -> bool:
        """Whether the other side has closed, and sent nothing more before."""
        try:
            return not self.buffer and self.sock.recv(1) == b""
        except ConnectionResetError:
            return False

    def _more(self) -> None:
        data = self.sock.recv(65536)
        assert data, f"closed after {self.buffer!r}"
        self.buffer += data


def request(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """An HTTP/1.1 request."""
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {path} HTTP/1.1", "Host: pod", *headers, *length]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def running(listens: str, settings: Mapping[str, str]) -> Iterator[Responder]:
    """A responder with these ports (``0`` is any) and settings, for as long as this holds."""
    env = {"PATH": os.environ["PATH"], "POD_NAME": "web-1", "POD_UID": "uid-1", "POD_LISTENS": listens, **settings}
    words = [sys.executable, "-SE", str(FILES / "responder.py")]
    child = process.start(words, env=env, stdout=process.PIPE, stderr=process.STDOUT)
    try:
        assert child.stdout is not None
        said = child.stdout.readline().decode()
        assert said.startswith("pod web-1 listens on "), said + child.stdout.read().decode()
        ports = re.findall(r"(\d+)/(TCP|UDP)", said)
        yield Responder(
            child,
            tuple(int(port) for port, protocol in ports if protocol == "TCP"),
            tuple(int(port) for port, protocol in ports if protocol == "UDP"),
        )
    finally:
        process.end_group(child)
        if child.stdout is not None:
            child.stdout.close()
