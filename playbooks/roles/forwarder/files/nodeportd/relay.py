"""The relay behind the socat backend: accepts clients of nodePorts, picks a pod for each, and has a socat copy bytes.

It is told by :mod:`nodeportd.socat`, over a Unix socket, where every nodePort leads; only root and its own user are
listened to. A change of endpoints changes what the next client gets: no listening socket is closed for it, so nobody
waiting in its queue is lost. When it was killed it goes on with what nodeportd left in a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nodeportd import datagrams
from nodeportd.children import Children
from nodeportd.datagrams import Flows
from nodeportd.endpoints import Target
from nodeportd.notify import log, notify
from nodeportd.routes import Memory, Place, Route, family, from_json, kept, to_json, with_port

BACKLOG = 4096
MOST = 2000
"""Connections at once, each a process with about 1 MB of its own; more clients wait in the kernel's queue."""
AT_ONCE = 64
"""Clients taken from one queue before others have their turn."""
IP_FREEBIND = 15
HALF_CLOSED = 3600
"""Seconds of silence after which a connection ends of which one side is closed; socat's own value is 0.5."""
KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 8}
TOWARDS_POD = "connect-timeout=10,nodelay,keepalive,keepidle=60,keepintvl=15,keepcnt=8"
LARGEST_QUESTION = 1 << 28
NONSENSE = (ValueError, TypeError, LookupError, AttributeError)
"""What a question that is none comes to; nobody is answered then."""


class Relay:
    """Sockets of all places, the routes behind them, and the processes at work."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self._kept = kept
        self._control = _control(folder / "control")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._control, selectors.EVENT_READ)
        self._routes: dict[Place, Route] = {}
        self._listeners: dict[Place, socket.socket] = {}
        self._children = Children()
        self._memory = Memory()
        self._flows = Flows(self._children, self._pick)
        self._most = int(os.environ.get("NODEPORT_SOCAT_MOST", MOST))
        self._full = False
        self._ending = False

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or until told to end; no process is left then."""
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(woken.fileno())
        for each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._signalled)
        self._selector.register(wake, selectors.EVENT_READ)
        if self._kept.exists():
            self._report(self._take(json.loads(self._kept.read_text(encoding="utf-8"))))
        notify("READY=1")
        while not self._ending:
            for key, _ in self._selector.select():
                if key.fileobj is wake:
                    with contextlib.suppress(BlockingIOError):
                        wake.recv(4096)
                    self._reap()
                elif key.fileobj is self._control:
                    self._converse()
                elif listener := self._listeners.get(key.data):  # else it was closed a moment ago
                    take = self._accept if key.data[0] == "tcp" else self._flows.take
                    take(key.data, listener)
        notify("STOPPING=1")
        self._end()

    def _signalled(self, number: int, _frame: object) -> None:
        self._ending = self._ending or number != signal.SIGCHLD

    def _end(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._children.end_all()
        Path(self._control.getsockname()).unlink(missing_ok=True)
        self._control.close()

    # What it is told

    def _converse(self) -> None:
        """One question, one answer."""
        line, _ = self._control.accept()
        with line, contextlib.suppress(OSError, *NONSENSE):
            line.settimeout(5)
            _, uid, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid not in (0, os.getuid()):
                return
            question = json.loads(line.makefile("rb").read(LARGEST_QUESTION))
            faults = self._take(question["routes"]) if "routes" in question else []
            if "routes" in question:
                self._report(faults)
            listed = [to_json(self._routes[place]) for place in self._listeners]
            line.sendall(json.dumps({"faults": faults, "routes": listed, "processes": len(self._children)}).encode())
            self._ending = self._ending or bool(question.get("end"))

    def _take(self, listed: list[Mapping[str, Any]]) -> list[str]:
        """Bring sockets and routes to what is wanted; what could not be listened at, a line each."""
        wanted = {route.place: route for route in map(from_json, listed)}
        for place in [place for place in self._listeners if place not in wanted]:
            self._close(place)
        self._routes = wanted
        self._memory.only(wanted)
        self._flows.only(wanted)
        return list(self._open())

    def _open(self) -> Iterator[str]:
        for place, route in self._routes.items():
            if place not in self._listeners:
                try:
                    self._listeners[place] = listener = _listener(place)
                except OSError as error:
                    yield f"cannot listen at {with_port(*place[1:])} for {route.service}: {error.strerror}"
                    continue
                if place[0] == "udp" or not self._full:
                    self._selector.register(listener, selectors.EVENT_READ, place)

    def _close(self, place: Place) -> None:
        listener = self._listeners.pop(place)
        with contextlib.suppress(KeyError):  # not there while there are too many clients
            self._selector.unregister(listener)
        listener.close()

    def _report(self, faults: list[str]) -> None:
        said = f"{len(self._listeners)} sockets" + "".join(f"; {fault}" for fault in faults[:3])
        notify(f"STATUS={said}")
        for fault in faults[:10]:
            log(fault)

    # Clients

    def _pick(self, place: Place, client: str) -> Target | None:
        return self._memory.pick(self._routes[place], client, time.monotonic())

    @property
    def _connections(self) -> int:
        return len(self._children) - len(self._flows)

    def _accept(self, place: Place, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            if self._connections >= self._most:
                self._pause()
                return
            try:
                client, peer = listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            with client:
                self._serve(place, client, peer[0])

    def _serve(self, place: Place, client: socket.socket, address: str) -> None:
        target = self._pick(place, address)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            client.setsockopt(socket.IPPROTO_TCP, option, value)
        try:
            if target is not None:
                towards = f"TCP:{with_port(*target)},{TOWARDS_POD}"
                self._children.start(["-t", str(HALF_CLOSED), "FD:0", towards], [client.fileno()])
                return
        except OSError as error:
            log(f"cannot start a socat: {error}")
        # A reset says more than an end of file: nobody read what the client sent.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _pause(self) -> None:
        """Leave new clients in the queue until an old one goes."""
        if not self._full:
            log(f"{self._connections} connections are the most: new clients wait")
            self._full = True
            for listener in self._of_connections().values():
                self._selector.unregister(listener)

    def _reap(self) -> None:
        self._flows.ended(self._children.reap())
        if self._full and self._connections < self._most:
            self._full = False
            for place, listener in self._of_connections().items():
                self._selector.register(listener, selectors.EVENT_READ, place)

    def _of_connections(self) -> dict[Place, socket.socket]:
        return {place: listener for place, listener in self._listeners.items() if place[0] == "tcp"}


def _listener(place: Place) -> socket.socket:
    protocol, address, port = place
    if protocol == "udp":
        return datagrams.bound(place)
    listener = socket.socket(family(address), socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)  # at boot the address may come later
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _control(path: Path) -> socket.socket:
    """Anybody may connect, and who it is decides: nodeportd is root without the right to pass file modes."""
    path.unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(str(path))
    path.chmod(0o666)
    control.listen(16)
    return control


def serve() -> None:
    """Run the relay in systemd's runtime folder."""
    Relay(Path(os.environ.get("RUNTIME_DIRECTORY", "/run/nodeport-socat")), kept()).run()
    sys.stderr.flush()
