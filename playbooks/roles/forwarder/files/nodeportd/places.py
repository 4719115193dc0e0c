"""What Services come to in the sets and maps of the table, and which chains they need. Pure.

A *place* is ``address . protocol . port``, as a client means it; what the sets and maps are for is in ``ruleset``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodeportd import chains
from nodeportd.endpoints import Effective, Forward, Target

Elements = dict[str, dict[str, str]]
"""The elements of every set and map, by name; an element of a set has an empty value."""


@dataclass(slots=True)
class Uses:
    """How many forwards need what several of them share.

    ``frame`` counts each chain that is not always there and each duration of affinity (``remember-<s>``), ``own`` each
    address at which a pod of this node may be sent to itself.
    """

    frame: Counter[str]
    own: Counter[str]

    def turn(self, gone: Iterable[Forward], come: Iterable[Forward]) -> tuple[dict[str, str], dict[str, str]]:
        """Follow a change; the elements of ``own`` that it takes away, and those that it brings."""
        self.frame.subtract(uses_of(gone))
        self.frame.update(uses_of(come))
        leave, enter = own_of(gone), own_of(come)
        touched = leave.keys() | enter.keys()
        before = {address for address in touched if self.own[address]}
        self.own.subtract(leave)
        self.own.update(enter)
        now = {address for address in touched if self.own[address]}
        for address in touched - now:
            del self.own[address]
        return pairs(before - now), pairs(now - before)


def uses(wanted: Effective) -> Uses:
    """What all of its forwards need."""
    return Uses(uses_of(wanted.forwards), own_of(wanted.forwards))


def own_of(forwards: Iterable[Forward]) -> Counter[str]:
    """How many of these forwards may lead to each address of a pod of this node."""
    return Counter(address for forward in forwards for address in forward.own)


def pairs(addresses: Iterable[str]) -> dict[str, str]:
    """The elements of ``own``, by which a pod that is sent to itself is known."""
    return {f"{address} . {address}": "" for address in addresses}


def uses_of(forwards: Iterable[Forward]) -> Counter[str]:
    """The chains and durations that these forwards need, as :class:`Uses` says it."""
    found: Counter[str] = Counter()
    for forward in forwards:
        service, everywhere, here = forward.service, len(forward.everywhere), len(forward.here)
        kinds = {("pick", everywhere), ("near", here)}
        if service.affinity_seconds:
            kinds |= {("stick", everywhere), ("stay", here)}
            found[f"remember-{service.affinity_seconds}"] += 1
        found.update(f"{kind}-{size}" for kind, size in kinds if size)
        if service.external_local and everywhere:
            found[f"{_split(forward)}-{everywhere}-{here}"] += 1
        if service.allowed_sources and forward.node_port:
            found["guard"] += 1
    return found


def _split(forward: Forward) -> str:
    return "hold" if forward.service.affinity_seconds else "part"


def elements_of(wanted: Effective, forwards: Iterable[Forward]) -> Elements:
    """The elements of these forwards, and those that are there whatever is forwarded."""
    elements: Elements = {"pods": dict.fromkeys(wanted.cluster_ranges, "")}
    for forward in forwards:
        for place in _external_places(forward, wanted.addresses):
            _external(elements, forward, place)
        for address in forward.service.cluster_addresses:
            _internal(elements, forward, f"{address} . {forward.protocol} . {forward.port}")
        if forward.node_port and forward.service.allowed_sources:
            for address in wanted.addresses:
                place = f"{address} . {forward.protocol} . {forward.node_port}"
                _put(elements, "restricted", place)
                for network in forward.service.allowed_sources:
                    _put(elements, "allowed", f"{place} . {network}")
    return {name: values for name, values in elements.items() if values}


def _external_places(forward: Forward, addresses: Iterable[str]) -> Iterator[str]:
    if forward.node_port:
        yield from (f"{address} . {forward.protocol} . {forward.node_port}" for address in addresses)
    for address in forward.service.external_addresses:
        yield f"{address} . {forward.protocol} . {forward.port}"


def _external(elements: Elements, forward: Forward, place: str) -> None:
    """A nodePort or an external address: from pods and the node itself always to all endpoints, as kube-proxy does."""
    if not forward.everywhere:
        _put(elements, "services", place, chains.REFUSE)
        return
    _lead(elements, place, forward, forward.everywhere, "everywhere")
    if not forward.service.external_local:
        _put(elements, "hidden", place)
        return
    _put(elements, "hidden-own", place)
    _reach(elements, place, forward.here, "local")
    _put(elements, "services", place, chains.way(f"{_split(forward)}-{len(forward.everywhere)}-{len(forward.here)}"))


def _internal(elements: Elements, forward: Forward, place: str) -> None:
    """A Service's own address."""
    if not forward.everywhere:
        _put(elements, "services", place, chains.REFUSE)
        return
    _lead(elements, place, forward, forward.internal, "here" if forward.service.internal_local else "everywhere")
    _put(elements, "hidden-outsiders", place)


_KINDS = {("everywhere", False): "pick", ("everywhere", True): "stick", ("here", False): "near", ("here", True): "stay"}
_MAPS = {"everywhere": "endpoints", "here": "local"}


def _lead(elements: Elements, place: str, forward: Forward, targets: tuple[Target, ...], which: str) -> None:
    """Have a place lead to these targets; without any, packets vanish, as a load balancer's checks expect."""
    seconds = forward.service.affinity_seconds
    size = len(targets)
    way = chains.way(f"{_KINDS[which, seconds > 0]}-{size}") if size else chains.SILENCE
    _put(elements, "services", place, way)
    _reach(elements, place, targets, _MAPS[which])
    if seconds and size:
        _put(elements, f"sticky-{seconds}", place)


def _reach(elements: Elements, place: str, targets: tuple[Target, ...], kind: str) -> None:
    for number, (address, port) in enumerate(targets, 1):
        _put(elements, f"{kind}-{len(targets)}", f"{place} . 0:{number:x}", f"{address} . {port}")


def _put(elements: Elements, name: str, key: str, value: str = "") -> None:
    elements.setdefault(name, {})[key] = value
