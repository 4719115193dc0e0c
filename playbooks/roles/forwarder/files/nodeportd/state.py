"""What a node shall forward: ``/etc/nodeport/state.json``, read strictly (format: docs/architecture.md).

A state that is not understood in full is refused with every reason, and the rules stay as they are. What has a
field too many, too few or of another type is not looked into any further.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1
MOST_ENDPOINTS = 1000
"""Endpoints of one Service port; Kubernetes' EndpointSlices hold at most as many, and each number has its own map."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_STATE = {"version": int, "generation": int, "node": str, "addresses": list, "services": list}
_SERVICE = {"namespace": str, "name": str, "ports": list}
_PORT = {"name": str, "protocol": str, "node_port": int, "endpoints": list}
_ENDPOINT = {"address": str, "port": int}
_WORDS: Mapping[type, str] = {int: "a whole number", str: "a text", list: "a list", dict: "a mapping"}


class StateError(Exception):
    """The state is refused; ``reasons`` has a line for each fault, ``where: what``."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


@dataclass(frozen=True, slots=True)
class Port:
    """One nodePort: ``protocol`` is ``tcp`` or ``udp``, ``endpoints`` are (IPv4 address, port) pairs."""

    service: str
    protocol: str
    node_port: int
    endpoints: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class State:
    """A whole state; ``addresses`` are those of the node at which nodePorts answer."""

    generation: int
    addresses: tuple[str, ...]
    ports: tuple[Port, ...]


EMPTY = State(0, (), ())


def parse(raw: bytes) -> State:
    """The state that a file's content describes.

    Raises :class:`StateError`.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise StateError([f"not JSON: {error}"]) from None
    reasons: list[str] = []
    state = _state(document, reasons)
    if reasons:
        raise StateError(reasons)
    return state


def _state(document: Any, reasons: list[str]) -> State:
    found = _version(document)
    if found is not None and found != VERSION:  # another version's fields are not ours to judge
        reasons.append(f"version: {_shown(found)} is not understood, this nodeportd knows version {VERSION}")
        return EMPTY
    fields = _fields(document, _STATE, "the state", reasons)
    if fields is None:
        return EMPTY
    _whole(fields["generation"], 0, 2**53, "generation", reasons)
    addresses = tuple(_addresses(fields["addresses"], reasons))
    ports = tuple(port for index, service in enumerate(fields["services"])
                  for port in _ports(service, f"services[{index}]", reasons))  # fmt: skip
    _no_node_port_twice(ports, reasons)
    return State(fields["generation"], addresses, ports)


def _no_node_port_twice(ports: tuple[Port, ...], reasons: list[str]) -> None:
    taken = Counter((port.protocol, port.node_port) for port in ports)
    for (protocol, number), times in taken.items():
        if times > 1:
            owners = ", ".join(port.service for port in ports if (port.protocol, port.node_port) == (protocol, number))
            reasons.append(f"services: {protocol.upper()} nodePort {number} is wanted {times} times, by {owners}")


def _version(document: Any) -> Any:
    return document.get("version") if type(document) is dict else None


def _addresses(values: list[Any], reasons: list[str]) -> Iterator[str]:
    for index, value in enumerate(values):
        where = f"addresses[{index}]"
        if value in values[:index]:
            reasons.append(f"{where}: {_shown(value)} is there twice")
        yield _address(value, where, reasons)


def _ports(service: Any, where: str, reasons: list[str]) -> Iterator[Port]:
    fields = _fields(service, _SERVICE, where, reasons)
    if fields is None:
        return
    _name(fields["namespace"], f"{where}.namespace", reasons)
    _name(fields["name"], f"{where}.name", reasons)
    for index, port in enumerate(fields["ports"]):
        within = f"{where}.ports[{index}]"
        found = _fields(port, _PORT, within, reasons)
        if found is not None:
            yield _port(found, f"{fields['namespace']}/{fields['name']}", within, reasons)


def _port(fields: Mapping[str, Any], service: str, where: str, reasons: list[str]) -> Port:
    if fields["name"]:
        _name(fields["name"], f"{where}.name", reasons)
    if fields["protocol"] not in ("TCP", "UDP"):
        reasons.append(f"{where}.protocol: {_shown(fields['protocol'])} is neither TCP nor UDP")
    _whole(fields["node_port"], 1, 65535, f"{where}.node_port", reasons)
    endpoints = tuple(_endpoint(endpoint, f"{where}.endpoints[{index}]", reasons)
                      for index, endpoint in enumerate(fields["endpoints"]))  # fmt: skip
    if len(set(endpoints)) < len(endpoints):  # it would get more than its share
        reasons.extend(f"{where}.endpoints: {address}:{port} is there {times} times"
                       for (address, port), times in Counter(endpoints).items() if times > 1)  # fmt: skip
    if len(endpoints) > MOST_ENDPOINTS:
        reasons.append(f"{where}.endpoints: {len(endpoints)} are too many, {MOST_ENDPOINTS} is the most")
    return Port(service, fields["protocol"].lower(), fields["node_port"], endpoints)


def _endpoint(endpoint: Any, where: str, reasons: list[str]) -> tuple[str, int]:
    fields = _fields(endpoint, _ENDPOINT, where, reasons)
    if fields is None:
        return where, 0
    _whole(fields["port"], 1, 65535, f"{where}.port", reasons)
    return _address(fields["address"], f"{where}.address", reasons), fields["port"]


def _name(value: str, where: str, reasons: list[str]) -> None:
    if not _NAME.fullmatch(value):
        reasons.append(f"{where}: {_shown(value)} is not a name of Kubernetes")


def _address(value: Any, where: str, reasons: list[str]) -> str:
    try:
        if type(value) is str and ipaddress.IPv4Address(value).packed[0] in _USUAL:
            return value
        reasons.append(f"{where}: {_shown(value)} is not the IPv4 address of a machine")
    except ValueError:
        reasons.append(f"{where}: {_shown(value)} is not an IPv4 address")
    return str(value)


_USUAL = frozenset(range(1, 224)) - {127}
"""First octets of unicast addresses; the kernel does not forward to loopback (KEP-6032 has the reasons)."""


def _whole(value: int, least: int, most: int, where: str, reasons: list[str]) -> None:
    if not least <= value <= most:
        reasons.append(f"{where}: {value} is not within {least} to {most}")


def _fields(value: Any, known: Mapping[str, type], where: str, reasons: list[str]) -> Mapping[str, Any] | None:
    """The mapping, if it has exactly the known fields, each of its type (``true`` is no whole number)."""
    if type(value) is not dict:
        reasons.append(f"{where}: {_shown(value)} is not a mapping")
        return None
    if value.keys() == known.keys() and all(type(value[field]) is kind for field, kind in known.items()):
        return value
    reasons.extend(f"{where}: field {field} is missing" for field in known if field not in value)
    reasons.extend(f"{where}: field {_shown(field)} is not known" for field in value if field not in known)
    reasons.extend(f"{where}.{field}: {_shown(value[field])} is not {_WORDS[kind]}"
                   for field, kind in known.items() if field in value and type(value[field]) is not kind)  # fmt: skip
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
