"""What a node shall forward: ``/etc/nodeport/state.json``, read strictly.

A state that is not understood in full is refused with every reason, and the rules stay as they are.
"""

import ipaddress
import json
import re
from dataclasses import dataclass

VERSION = 1
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class StateError(Exception):
    """The state is refused; ``reasons`` has a line for each fault."""

    def __init__(self, reasons):
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


@dataclass(frozen=True)
class Port:
    """One nodePort: ``protocol`` is ``tcp`` or ``udp``, ``endpoints`` are (address, port) pairs."""

    service: str
    protocol: str
    node_port: int
    endpoints: tuple


@dataclass(frozen=True)
class State:
    """A whole state; ``addresses`` are those of the node at which nodePorts answer."""

    generation: int
    addresses: tuple
    ports: tuple


EMPTY = State(0, (), ())


def parse(text):
    """The state that a text describes.

    Raises :class:`StateError`.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise StateError([f"not JSON: {error}"]) from None
    reasons = []
    try:
        state = _state(document, reasons)
    except (AttributeError, TypeError, KeyError) as error:
        raise StateError([*reasons, f"not of the shape of version {VERSION}: {error!r}"]) from None
    if reasons:
        raise StateError(reasons)
    return state


def _state(document, reasons):
    _only(document, {"version", "generation", "node", "addresses", "services"}, "state", reasons)
    if document["version"] != VERSION:
        raise StateError([f"version {document['version']!r} is not understood; this is version {VERSION}"])
    if not _whole(document["generation"], 0, 2**53):
        reasons.append(f"generation {document['generation']!r} is not a whole number")
    addresses = tuple(_address(address, "addresses", reasons) for address in document["addresses"])
    ports = tuple(port for service in document["services"] for port in _ports(service, reasons))
    seen = set()
    for port in ports:
        if (port.protocol, port.node_port) in seen:
            reasons.append(f"{port.service}: {port.protocol} {port.node_port} is there twice")
        seen.add((port.protocol, port.node_port))
    return State(document["generation"], addresses, ports)


def _ports(service, reasons):
    _only(service, {"namespace", "name", "ports"}, "service", reasons)
    key = f"{service['namespace']}/{service['name']}"
    if not all(isinstance(part, str) and NAME.fullmatch(part) for part in (service["namespace"], service["name"])):
        reasons.append(f"{key!r} is not a name")
    for port in service["ports"]:
        _only(port, {"name", "protocol", "node_port", "endpoints"}, key, reasons)
        if port["protocol"] not in ("TCP", "UDP"):
            reasons.append(f"{key}: protocol {port['protocol']!r} is neither TCP nor UDP")
        if not _whole(port["node_port"], 1, 65535):
            reasons.append(f"{key}: node_port {port['node_port']!r} is not a port")
        endpoints = tuple(_endpoint(endpoint, key, reasons) for endpoint in port["endpoints"])
        yield Port(key, str(port["protocol"]).lower(), port["node_port"], endpoints)


def _endpoint(endpoint, key, reasons):
    _only(endpoint, {"address", "port"}, key, reasons)
    if not _whole(endpoint["port"], 1, 65535):
        reasons.append(f"{key}: endpoint port {endpoint['port']!r} is not a port")
    return _address(endpoint["address"], key, reasons), endpoint["port"]


def _address(value, where, reasons):
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        reasons.append(f"{where}: {value!r} is not an IPv4 address")
        return ""


def _whole(value, least, most):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _only(mapping, known, where, reasons):
    reasons.extend(f"{where}: field {field!r} is not known" for field in sorted(set(mapping) - known))
