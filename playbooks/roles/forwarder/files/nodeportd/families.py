"""A node of two families of addresses as two nodes of one: what of a state concerns IPv4, and what IPv6. Pure.

kube-proxy does the same with a proxier a family. A state without an IPv6 address is that of IPv4, and costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from nodeportd.state import Port, Service, State

Belongs = Callable[[str], bool]

NOBODY = {4: "127.0.0.1/32", 6: "::1/128"}
"""Whom an allow list lets in that names nobody of this family: nobody comes from loopback."""


_WORDS = re.compile(r"\b(ip (?:saddr|daddr|to|nodeport)\b|ipv4_addr\b|icmp port-unreachable\b)")
_WORDS6 = re.compile(r"\b(ip6 (?:saddr|daddr|to|nodeport)\b|ipv6_addr\b|icmpv6 port-unreachable\b)")
_OF_IPV6 = {"ipv4_addr": "ipv6_addr", "icmp port-unreachable": "icmpv6 port-unreachable"}


def in_ipv4(text: str) -> str:
    """The same back."""
    words = {six: four for four, six in _OF_IPV6.items()}
    return _WORDS6.sub(lambda found: words.get(found[0]) or f"ip {found[0][4:]}", text)


def in_ipv6(text: str) -> str:
    """The text of a table of IPv4 in the words of IPv6."""
    return _WORDS.sub(lambda found: _OF_IPV6.get(found[0]) or f"ip6 {found[0][3:]}", text)


def split(state: State) -> tuple[State, State | None]:
    """The state as far as it is about IPv4, and about IPv6 if this node has such an address."""
    if not is_dual(state):
        return state, None
    cut = [halves(service) for service in state.services]
    four, six = (tuple(half for half in each if half) for each in (((c[1] for c in cut)), (c[2] for c in cut)))
    return of_family(state, is_ipv4, four), of_family(state, is_ipv6, six)


def is_dual(state: State) -> bool:
    """Whether this node has an IPv6 address."""
    return any(map(is_ipv6, state.addresses))


def halves(service: Service) -> tuple[Service, Service | None, Service | None]:
    """A Service, and what each family has to know of it."""
    if service.families == ("IPv4",):
        return service, service, None
    four = _of_service(service, is_ipv4, 4) if "IPv4" in service.families else None
    return service, four, _of_service(service, is_ipv6, 6) if "IPv6" in service.families else None


def is_ipv6(address: str) -> bool:
    """Whether it is an address or a network of IPv6."""
    return ":" in address


def is_ipv4(address: str) -> bool:
    """Whether it is one of IPv4."""
    return ":" not in address


def of_family(state: State, belongs: Belongs, services: tuple[Service, ...]) -> State:
    """What of a node is of one family; ``services`` are its Services' halves."""
    addresses, ranges = (tuple(filter(belongs, each)) for each in (state.addresses, state.cluster_ranges))
    return replace(state, addresses=addresses, cluster_ranges=ranges, services=services)


def _of_service(service: Service, belongs: Belongs, family: int) -> Service:
    allowed = tuple(filter(belongs, service.allowed_sources)) or (NOBODY[family],)
    return replace(
        service,
        ports=tuple(_of_port(port, belongs) for port in service.ports),
        cluster_addresses=tuple(filter(belongs, service.cluster_addresses)),
        external_addresses=tuple(filter(belongs, service.external_addresses)),
        allowed_sources=allowed if service.allowed_sources else (),
    )


def _of_port(port: Port, belongs: Belongs) -> Port:
    return replace(port, endpoints=tuple(each for each in port.endpoints if belongs(each.address)))
