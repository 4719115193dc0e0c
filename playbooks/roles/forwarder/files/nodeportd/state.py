"""What a node shall forward: ``/etc/nodeport/state.json``, read strictly (format: docs/architecture.md).

A state that is not understood in full is refused with every reason, and the rules stay as they are. What has a
field too many, too few or of another type is not looked into any further.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nodeportd import checks, fields
from nodeportd.checks import Check

VERSION = 2
BACKENDS = ("nftables", "socat")
MOST_ENDPOINTS = 1000
"""Endpoints of one Service port; Kubernetes' EndpointSlices hold at most as many, and each number has its own map."""
LONGEST_AFFINITY = 86400
"""Seconds; the API's own limit of ``timeoutSeconds``."""

_POLICIES = ("Cluster", "Local")
_STATE = {"version": int, "generation": int, "node": str, "backend": str, "addresses": list, "cluster_ranges": list,
          "checks": list, "services": list}  # fmt: skip
_SERVICE = {"namespace": str, "name": str, "cluster_addresses": list, "external_addresses": list,
            "affinity_seconds": int, "external_traffic_policy": str, "internal_traffic_policy": str,
            "allowed_sources": list, "health_check_node_port": int, "ports": list}  # fmt: skip
_OF_SERVICE = {"ip_families": list}
"""May be missing, which means IPv4 alone."""

_FAMILIES = ("IPv4", "IPv6")
_PORT = {"name": str, "protocol": str, "port": int, "node_port": int, "endpoints": list}
_ENDPOINT = {"address": str, "port": int, "node": str, "pod": str, "always": bool, "terminating": bool}


class StateError(Exception):
    """The state is refused; ``reasons`` has a line for each fault, ``where: what``."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class Endpoint(NamedTuple):
    """Where a Service port may lead.

    ``node`` and ``pod`` (``namespace/name``) are empty for one that is no pod of ours. ``always``: whatever its
    readiness (publishNotReadyAddresses); ``terminating``: only when nothing else is ready (KEP-1669).
    """

    address: str
    port: int
    node: str = ""
    pod: str = ""
    always: bool = False
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Port:
    """One Service port: ``protocol`` is ``tcp`` or ``udp``, ``node_port`` 0 when there is none."""

    name: str
    protocol: str
    port: int
    node_port: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """One Service; ``key`` is ``namespace/name``, ``affinity_seconds`` 0 when clients do not stick."""

    key: str
    ports: tuple[Port, ...]
    cluster_addresses: tuple[str, ...] = ()
    external_addresses: tuple[str, ...] = ()
    affinity_seconds: int = 0
    external_local: bool = False
    internal_local: bool = False
    allowed_sources: tuple[str, ...] = ()
    health_check_node_port: int = 0
    families: tuple[str, ...] = ("IPv4",)


class Change(NamedTuple):
    """How some Services came out of others: those that are ``gone`` made room for those that ``come``."""

    before: tuple[Service, ...] = ()
    after: tuple[Service, ...] = ()
    gone: tuple[Service, ...] = ()
    come: tuple[Service, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """A whole state; ``addresses`` are those of the node at which nodePorts answer.

    ``change`` is how its Services came out of those read before, if somebody kept account of that.
    """

    generation: int
    node: str
    backend: str
    addresses: tuple[str, ...]
    cluster_ranges: tuple[str, ...]
    checks: tuple[Check, ...]
    services: tuple[Service, ...]
    change: Change = field(default=Change(), compare=False, repr=False)


EMPTY = State(0, "", "nftables", (), (), (), ())


def difference(before: tuple[Service, ...], now: State) -> tuple[Sequence[Service], Sequence[Service]]:
    """The Services that are not there any more, and those that were not before; the very same ones are left out."""
    if before is now.services:
        return (), ()
    if now.change.before is before and now.change.after is now.services:
        before, after = now.change.gone, now.change.come
    else:
        after = now.services
    stay = {id(each) for each in before} & {id(each) for each in after}
    return [each for each in before if id(each) not in stay], [each for each in after if id(each) not in stay]


def parse(raw: bytes | bytearray) -> State:
    """The state that a file's content describes.

    Raises :class:`StateError`.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise StateError([f"not JSON: {error}"]) from None
    return read(document)


def read(document: Any) -> State:
    """The state that a JSON document describes.

    Raises :class:`StateError`.
    """
    reasons: list[str] = []
    state = _state(document, reasons)
    if reasons:
        raise StateError(reasons)
    return state


def read_service(value: Any, where: str) -> Service:
    """The Service that a JSON value describes.

    Raises :class:`StateError`.
    """
    reasons: list[str] = []
    given = fields.fields(value, _SERVICE, where, reasons, _OF_SERVICE)
    service = _service(given, where, reasons) if given is not None else None
    if service is None or reasons:
        raise StateError(reasons)
    return service


def _state(document: Any, reasons: list[str]) -> State:
    found = document.get("version") if type(document) is dict else None
    if found is not None and found != VERSION:  # another version's fields are not ours to judge
        reasons.append(f"version: {fields.shown(found)} is not understood, this nodeportd knows version {VERSION}")
        return EMPTY
    given = fields.fields(document, _STATE, "the state", reasons)
    if given is None:
        return EMPTY
    fields.whole(given["generation"], 0, 2**53, "generation", reasons)
    fields.name(given["node"], "node", reasons)
    fields.word(given["backend"], BACKENDS, "backend", reasons)
    addresses = tuple(fields.addresses(given["addresses"], "addresses", reasons))
    ranges = tuple(fields.networks(given["cluster_ranges"], "cluster_ranges", reasons))
    asked = tuple(checks.read(given["checks"], reasons))
    services = tuple(_services(given["services"], reasons))
    _nothing_twice(services, addresses, reasons)
    return State(given["generation"], given["node"], given["backend"], addresses, ranges, asked, services)


def _services(values: list[Any], reasons: list[str]) -> Iterator[Service]:
    for index, value in enumerate(values):
        where = f"services[{index}]"
        given = fields.fields(value, _SERVICE, where, reasons, _OF_SERVICE)
        if given is not None:
            yield _service(given, where, reasons)


def _service(given: Mapping[str, Any], where: str, reasons: list[str]) -> Service:
    fields.name(given["namespace"], f"{where}.namespace", reasons)
    fields.name(given["name"], f"{where}.name", reasons)
    fields.whole(given["affinity_seconds"], 0, LONGEST_AFFINITY, f"{where}.affinity_seconds", reasons)
    fields.whole(given["health_check_node_port"], 0, 65535, f"{where}.health_check_node_port", reasons)
    for policy in ("external_traffic_policy", "internal_traffic_policy"):
        fields.word(given[policy], _POLICIES, f"{where}.{policy}", reasons)
    families = given.get("ip_families", ["IPv4"])
    for index, family in enumerate(families):
        fields.word(family, _FAMILIES, f"{where}.ip_families[{index}]", reasons)
    return Service(
        key=f"{given['namespace']}/{given['name']}",
        ports=tuple(_ports(given["ports"], where, reasons)),
        cluster_addresses=tuple(fields.addresses(given["cluster_addresses"], f"{where}.cluster_addresses", reasons)),
        external_addresses=tuple(fields.addresses(given["external_addresses"], f"{where}.external_addresses", reasons)),
        affinity_seconds=given["affinity_seconds"],
        external_local=given["external_traffic_policy"] == "Local",
        internal_local=given["internal_traffic_policy"] == "Local",
        allowed_sources=tuple(fields.networks(given["allowed_sources"], f"{where}.allowed_sources", reasons)),
        health_check_node_port=given["health_check_node_port"],
        families=tuple(families),
    )


def _ports(values: list[Any], where: str, reasons: list[str]) -> Iterator[Port]:
    for index, value in enumerate(values):
        within = f"{where}.ports[{index}]"
        given = fields.fields(value, _PORT, within, reasons)
        if given is not None:
            yield _port(given, within, reasons)


def _port(given: Mapping[str, Any], where: str, reasons: list[str]) -> Port:
    if given["name"]:
        fields.name(given["name"], f"{where}.name", reasons)
    fields.word(given["protocol"], ("TCP", "UDP"), f"{where}.protocol", reasons)
    fields.whole(given["port"], 1, 65535, f"{where}.port", reasons)
    fields.whole(given["node_port"], 0, 65535, f"{where}.node_port", reasons)
    endpoints = tuple(_endpoint(endpoint, f"{where}.endpoints[{index}]", reasons)
                      for index, endpoint in enumerate(given["endpoints"]))  # fmt: skip
    places = [endpoint[:2] for endpoint in endpoints]
    if len(set(places)) < len(places):  # it would get more than its share
        reasons.extend(f"{where}.endpoints: {address}:{port} is there {times} times"
                       for (address, port), times in Counter(places).items() if times > 1)  # fmt: skip
    if len(endpoints) > MOST_ENDPOINTS:
        reasons.append(f"{where}.endpoints: {len(endpoints)} are too many, {MOST_ENDPOINTS} is the most")
    return Port(given["name"], given["protocol"].lower(), given["port"], given["node_port"], endpoints)


def _endpoint(value: Any, where: str, reasons: list[str]) -> Endpoint:
    given = fields.fields(value, _ENDPOINT, where, reasons)
    if given is None:
        return Endpoint(where, 0)
    fields.address(given["address"], f"{where}.address", reasons)
    fields.whole(given["port"], 1, 65535, f"{where}.port", reasons)
    if given["node"]:
        fields.name(given["node"], f"{where}.node", reasons)
    if given["pod"]:
        fields.pod(given["pod"], f"{where}.pod", reasons)
    return Endpoint(*(given[field] for field in _ENDPOINT))


def _nothing_twice(services: tuple[Service, ...], addresses: tuple[str, ...], reasons: list[str]) -> None:
    """No two Services at one place: a nodePort, or an address of their own with a port."""
    named = Counter(service.key for service in services)
    reasons.extend(f"services: {key} is there {times} times" for key, times in named.items() if times > 1)
    owners: dict[tuple[str, str, int], list[str]] = {}
    for service in services:
        for port in service.ports:
            if port.node_port:
                owners.setdefault(("nodePort", port.protocol, port.node_port), []).append(service.key)
            for address in (*service.cluster_addresses, *service.external_addresses):
                owners.setdefault((address, port.protocol, port.port), []).append(service.key)
    for (place, protocol, number), keys in owners.items():
        if len(keys) > 1:
            said = f"services: {protocol.upper()} {place} {number} is wanted {len(keys)} times, by {', '.join(keys)}"
            reasons.append(said)
        elif place in addresses and ("nodePort", protocol, number) in owners:
            reasons.append(f"services: {protocol.upper()} {place} {number} of {keys[0]} is also a nodePort here")
