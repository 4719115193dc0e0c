"""The Services' own addresses (ClusterIPs): given once, kept for as long as the Service is there.

The dynamic half follows KEP-3070: the lower band of the range is left to people who write an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network

from harness.model.address import IPFamily, family, with_port
from harness.model.plan import Plan
from harness.model.workload import Service
from harness.plan.addresses import SERVICE_RANGE
from harness.plan.families import SERVICE_RANGE6, Families
from harness.plan.names import digest
from harness.plan.ports import key

STATIC = 256
"""Addresses at the beginning of the range that are given only to those who write them."""

TRIES = 4096

ClusterAddresses = Mapping[str, tuple[str, ...]]
"""The addresses of each Service that has any, by the Service's key, in the order of its families."""

RANGES: Mapping[IPFamily, IPv4Network | IPv6Network] = {IPFamily.V4: SERVICE_RANGE, IPFamily.V6: SERVICE_RANGE6}


def allocate(
    services: Sequence[Service], families: Families, previous: Plan | None, problems: list[str]
) -> ClusterAddresses:
    """Addresses for every Service that is not headless, one a family; what cannot be had is added to ``problems``.

    Order of claims: what a Service writes; what it had in ``previous``; a free one, found from a point that depends
    on the Service alone. An address that another Service still holds from before is refused to one that writes it.
    """
    wanting = sorted((service for service in services if not service.headless), key=key)
    given = {
        one: _of_family([each for each in wanting if one in families[key(each)]], one, previous, problems)
        for one in IPFamily
    }
    return {key(each): tuple(given[one][key(each)] for one in families[key(each)]) for each in wanting}


def _of_family(
    wanting: Sequence[Service], one: IPFamily, previous: Plan | None, problems: list[str]
) -> Mapping[str, str]:
    held = {
        service.key: address
        for service in (previous.services if previous else ())
        for address in service.cluster_addresses
        if family(address) is one
    }
    given: dict[str, str] = {}
    holders: dict[str, str] = {}
    for service in wanting:
        if _asked(service, one):
            _written(service, _asked(service, one), given, holders, problems)
    for service in wanting:
        before = held.get(key(service), "")
        if _asked(service, one) or not before:
            continue
        holder = holders.get(before)
        if holder is not None:
            problems.append(
                f"Service {holder}: clusterIP {before} is already allocated to Service {key(service)} "
                f"(write another clusterIP, or remove {key(service)} first)"
            )
        given[key(service)] = before
        holders[before] = key(service)
    for service in wanting:
        if key(service) not in given:
            address = next((each for each in _candidates(key(service), RANGES[one]) if each not in holders), "")
            if not address:
                problems.append(f"Service {key(service)}: no free address of {RANGES[one]} (use fewer Services)")
            given[key(service)] = address
            holders[address] = key(service)
    return given


def _asked(service: Service, one: IPFamily) -> str:
    return service.cluster_ip if one is IPFamily.V4 else service.cluster_ip6


def check_external(services: Sequence[Service], problems: list[str]) -> None:
    """Add to ``problems`` every external address that two Services use with the same port and protocol."""
    holders: dict[tuple[str, int, str], str] = {}
    for service in sorted(services, key=key):
        for address in service.external_ips:
            for port in service.ports:
                holder = holders.setdefault((address, port.port, port.protocol), key(service))
                if holder != key(service):
                    place = f"{with_port(address, port.port)}/{port.protocol}"
                    problems.append(
                        f"Service {key(service)}: {place} is already taken by Service {holder} "
                        "(write another externalIP or port in one of the two)"
                    )


def _written(
    service: Service, address: str, given: dict[str, str], holders: dict[str, str], problems: list[str]
) -> None:
    holder = holders.setdefault(address, key(service))
    if holder != key(service):
        problems.append(
            f"Service {key(service)}: clusterIP {address} is already taken by Service {holder} "
            "(write another clusterIP in one of the two)"
        )
    given[key(service)] = address


def _candidates(service: str, network: IPv4Network | IPv6Network) -> Iterator[str]:
    """Addresses in the order in which a Service tries them: neither the static ones nor the last."""
    room = network.num_addresses - STATIC - 1
    start = digest("clusterIP", service) % room
    first = network.network_address + STATIC
    for step in range(TRIES):
        yield str(first + (start + step) % room)
