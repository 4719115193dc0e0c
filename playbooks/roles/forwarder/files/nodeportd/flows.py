"""What outlives a rule: where clients were sent before. Who must not go on to which endpoint. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nodeportd.endpoints import Effective, Forward, Target

Place = tuple[str, str, int]
"""Address, protocol (``tcp``, ``udp``) and port, as a client means it."""

Allowed = Mapping[Place, frozenset[Target]]
"""Where each place may lead."""

_CLIENT = re.compile(
    r"(?P<client>[\da-f.:]+) \. (?P<address>[\da-f.:]+) \. (?P<protocol>tcp|udp) \. (?P<port>\d+)(?P<times>[^:,]*) : "
    r"(?P<endpoint>[\da-f.:]+) \. (?P<target>\d+)"
)


class Client(NamedTuple):
    """One element of the map ``clients``: its key and whole as nftables prints them."""

    key: str
    element: str
    place: Place
    target: Target


def clients(listed: str) -> Iterator[Client]:
    """The remembered clients in a listing."""
    for found in _CLIENT.finditer(listed):
        place = (found["address"], found["protocol"], int(found["port"]))
        key = f"{found['client']} . {found['address']} . {found['protocol']} . {found['port']}"
        yield Client(key, found[0], place, (found["endpoint"], int(found["target"])))


def allowed(wanted: Effective, forwards: Iterable[Forward]) -> dict[Place, frozenset[Target]]:
    """Where the places of these forwards may lead, for whichever client."""
    places: dict[Place, frozenset[Target]] = {}
    for forward in forwards:
        everyone = frozenset(forward.everywhere)
        if forward.node_port:
            places.update({(address, forward.protocol, forward.node_port): everyone for address in wanted.addresses})
        for address in forward.service.external_addresses:
            places[address, forward.protocol, forward.port] = everyone
        for address in forward.service.cluster_addresses:
            places[address, forward.protocol, forward.port] = frozenset(forward.internal)
    return places


def altered(old: Effective, new: Effective, gone: Iterable[Forward], come: Iterable[Forward]) -> Allowed:
    """Where places may lead now that may have led elsewhere before; those that are no more lead nowhere."""
    return {**dict.fromkeys(allowed(old, gone), frozenset()), **allowed(new, come)}
