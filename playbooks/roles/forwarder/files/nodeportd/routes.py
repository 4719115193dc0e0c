"""Where the relay sends a new client of a nodePort: the policies of its Service."""

from __future__ import annotations

import os
import random
import socket
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from nodeportd.endpoints import Target
from nodeportd.families import is_ipv6

LOOPBACK, LOOPBACK6 = "127.0.0.1", "::1"
MOST_CLIENTS = 262144
"""Clients that are remembered at once; beyond that the one seen longest ago is forgotten."""

Place = tuple[str, str, int]
"""Protocol (``tcp``, ``udp``), address and port where the relay listens."""


@dataclass(frozen=True, slots=True)
class Route:
    """One nodePort at one address of the node.

    Clients within ``inside`` (pods), and the node itself, go to any endpoint ``everywhere``, others to those of
    ``outside``; where no policy tells them apart, ``inside`` is empty. ``allowed_sources`` are the networks that may
    come beside the node itself, none for all; ``affinity_seconds`` is 0 when clients do not stick.
    """

    service: str
    address: str
    protocol: str
    port: int
    everywhere: tuple[Target, ...]
    outside: tuple[Target, ...]
    inside: tuple[str, ...]
    affinity_seconds: int
    allowed_sources: tuple[str, ...]

    @property
    def place(self) -> Place:
        """Where the relay listens for it."""
        return self.protocol, self.address, self.port

    def targets(self, client: str) -> tuple[Target, ...]:
        """The endpoints that may serve this client; none when it must not come, or none is left for it."""
        if self.allowed_sources and not (_within(client, self.allowed_sources) or _own(client)):
            return ()
        if not self.inside or not (_within(client, self.inside) or _own(client)):
            return self.outside
        return self.everywhere


def kept() -> Path:
    """Where nodeportd leaves the routes for a relay that starts; ``$NODEPORT_SOCAT_ROUTES`` names another file."""
    return Path(os.environ.get("NODEPORT_SOCAT_ROUTES", "/run/nodeport/routes.json"))


def to_json(route: Route) -> dict[str, Any]:
    """The route as JSON values, as a reader of JSON gives them back."""
    listed = asdict(route)
    for name in ("everywhere", "outside"):
        listed[name] = [list(target) for target in listed[name]]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in listed.items()}


def from_json(given: Mapping[str, Any]) -> Route:
    """The route that :func:`to_json` made these values of."""
    targets = {name: tuple((address, port) for address, port in given[name]) for name in ("everywhere", "outside")}
    lists = {name: tuple(given[name]) for name in ("inside", "allowed_sources")}
    return Route(**{**given, **targets, **lists})


def family(address: str) -> socket.AddressFamily:
    """The family of sockets that an address belongs to."""
    return socket.AF_INET6 if is_ipv6(address) else socket.AF_INET


def with_port(address: str, port: int) -> str:
    """``address:port``, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if is_ipv6(address) else f"{address}:{port}"


def _within(client: str, networks: Sequence[str]) -> bool:
    return any(ip_address(client) in ip_network(network) for network in networks)


def _own(client: str) -> bool:
    """Whether it is an address of this node: no other can be bound to."""
    with socket.socket(family(client), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((client, 0))
        except OSError:
            return False
        return True


class Memory:
    """Which client went where: ``sessionAffinity: ClientIP``; each new connection renews the time."""

    def __init__(self, most: int = MOST_CLIENTS) -> None:
        self._held: OrderedDict[tuple[Place, str], tuple[Target, float]] = OrderedDict()
        self._most = most

    def pick(self, route: Route, client: str, now: float) -> Target | None:
        """Where this client's new connection goes; ``None`` for nowhere. ``now`` in seconds of a monotonic clock."""
        targets = route.targets(client)
        if not targets:
            return None
        if not route.affinity_seconds:
            return random.choice(targets)  # noqa: S311 - nobody gains from guessing
        key = route.place, client
        held, until = self._held.pop(key, (targets[0], 0.0))
        target = held if held in targets and now < until else random.choice(targets)  # noqa: S311
        self._held[key] = target, now + route.affinity_seconds
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return target

    def only(self, routes: Mapping[Place, Route]) -> None:
        """Forget clients of places that are no more, or where nobody sticks any more."""
        for key in [key for key in self._held if key[0] not in routes or not routes[key[0]].affinity_seconds]:
            del self._held[key]
