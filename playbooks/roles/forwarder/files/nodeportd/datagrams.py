"""UDP of the relay: each client of a nodePort has a socket and a socat of its own, until both sides are silent.

A datagram of somebody new comes to the socket that listens. A second one, bound to the same place and connected to the
client, gets all that follows: the kernel prefers it. What came between the two steps is handed on here.
"""

from __future__ import annotations

import contextlib
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from nodeportd.children import Children
from nodeportd.endpoints import Target
from nodeportd.routes import Place, Route, family

SILENCE = 60
"""Seconds after which a flow is forgotten."""
MOST = 1000
"""Flows at once; then the one that began first has to go."""
AT_ONCE = 64
LARGEST = 65535
IP_FREEBIND = 15

Client = tuple[str, int] | tuple[str, int, int, int]
"""A client's address and port; of IPv6 also its flow and scope."""
Pick = Callable[[Place, str], Target | None]
"""Where a new client of a place goes; ``None`` for nowhere."""


class Flow(NamedTuple):
    """A client's process, and our own copy of its socket towards the pod."""

    process: int
    pod: socket.socket
    target: Target


class Flows:
    """All flows; a datagram that nobody may answer meets silence."""

    def __init__(self, children: Children, pick: Pick, most: int = MOST) -> None:
        self._children, self._pick, self._most = children, pick, most
        self._flows: OrderedDict[tuple[Place, Client], Flow] = OrderedDict()
        self._of_process: dict[int, tuple[Place, Client]] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def take(self, place: Place, listener: socket.socket) -> None:
        """Hand on what waits at the socket that listens."""
        waiting: deque[tuple[bytes, Client]] = deque()
        for _ in range(AT_ONCE):
            try:
                waiting.append(listener.recvfrom(LARGEST))
            except OSError:
                break
        while waiting:
            data, client = waiting.popleft()
            flow = self._flows.get((place, client))
            if flow is None:
                waiting.extendleft(reversed(self._begin(place, client, data)))
            else:
                _send(flow.pod, data)

    def _begin(self, place: Place, client: Client, data: bytes) -> list[tuple[bytes, Client]]:
        """Have a socat for this client; what came for others meanwhile is returned."""
        target = self._pick(place, client[0])
        if target is None:
            return []
        if len(self._flows) >= self._most:
            self._end([next(iter(self._flows))])
        pod = socket.socket(family(target[0]), socket.SOCK_DGRAM)
        try:
            with bound(place) as own:
                pod.connect(target)
                own.connect(client)
                came = list(_waiting(own))
                for each in [data, *(each for each, who in came if who == client)]:
                    _send(pod, each)
                words = ["-T", str(SILENCE), "-b", str(LARGEST + 1), "FD:0", "FD:1"]
                own.setblocking(True)
                process = self._children.start(words, [own.fileno(), pod.fileno()])
        except OSError:
            pod.close()
            return []
        self._flows[place, client] = Flow(process, pod, target)
        self._of_process[process] = (place, client)
        return [(each, who) for each, who in came if who != client]

    def only(self, routes: Mapping[Place, Route]) -> None:
        """End the flows that lead where they may not lead any more."""
        self._end([key for key, flow in self._flows.items() if not _may(key, flow, routes)])

    def ended(self, processes: Collection[int]) -> None:
        """Take note that these processes are over."""
        self._forget([self._of_process[own] for own in processes if own in self._of_process])

    def _end(self, keys: Collection[tuple[Place, Client]]) -> None:
        self._children.end([self._flows[key].process for key in keys])
        self._forget(keys)

    def _forget(self, keys: Collection[tuple[Place, Client]]) -> None:
        for key in keys:
            flow = self._flows.pop(key)
            flow.pod.close()
            del self._of_process[flow.process]


def bound(place: Place) -> socket.socket:
    """A UDP socket at a place, beside others of this user.

    Raises :class:`OSError`.
    """
    own = socket.socket(family(place[1]), socket.SOCK_DGRAM)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # and not REUSEADDR: that lets any user in
        own.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        own.bind(place[1:])
        own.setblocking(False)
    except OSError:
        own.close()
        raise
    return own


def _may(key: tuple[Place, Client], flow: Flow, routes: Mapping[Place, Route]) -> bool:
    place, client = key
    return place in routes and flow.target in routes[place].targets(client[0])


def _waiting(own: socket.socket) -> list[tuple[bytes, Client]]:
    found = []
    for _ in range(AT_ONCE):
        try:
            found.append(own.recvfrom(LARGEST))
        except OSError:
            break
    return found


def _send(pod: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # a datagram may be lost
        pod.send(data)
