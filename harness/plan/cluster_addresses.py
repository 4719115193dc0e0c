"""The Services' own addresses (ClusterIPs): given once, kept for as long as the Service is there.

The dynamic half follows KEP-3070: the lower band of the range is left to people who write an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from harness.model.plan import Plan
from harness.model.workload import Service
from harness.plan.addresses import SERVICE_RANGE
from harness.plan.names import digest
from harness.plan.ports import key

STATIC = 256
"""Addresses at the beginning of the range that are given only to those who write them."""

TRIES = 4096

ClusterAddresses = Mapping[str, str]
"""The address of each Service that has one, by the Service's key."""


def allocate(services: Sequence[Service], previous: Plan | None, problems: list[str]) -> ClusterAddresses:
    """An address for every Service that is not headless; what cannot be had is added to ``problems``.

    Order of claims: what a Service writes; what it had in ``previous``; a free one, found from a point that depends
    on the Service alone. An address that another Service still holds from before is refused to one that writes it.
    """
    wanting = sorted((service for service in services if not service.headless), key=key)
    held = {service.key: service.cluster_addresses for service in previous.services} if previous else {}
    given: dict[str, str] = {}
    holders: dict[str, str] = {}
    for service in wanting:
        if service.cluster_ip:
            _written(service, given, holders, problems)
    for service in wanting:
        before = held.get(key(service), ())
        if service.cluster_ip or not before:
            continue
        holder = holders.get(before[0])
        if holder is not None:
            problems.append(
                f"Service {holder}: clusterIP {before[0]} is already allocated to Service {key(service)} "
                f"(write another clusterIP, or remove {key(service)} first)"
            )
        given[key(service)] = before[0]
        holders[before[0]] = key(service)
    for service in wanting:
        if key(service) not in given:
            address = next((each for each in _candidates(key(service)) if each not in holders), "")
            if not address:
                problems.append(f"Service {key(service)}: no free address of {SERVICE_RANGE} (use fewer Services)")
            given[key(service)] = address
            holders[address] = key(service)
    return given


def check_external(services: Sequence[Service], problems: list[str]) -> None:
    """Add to ``problems`` every external address that two Services use with the same port and protocol."""
    holders: dict[tuple[str, int, str], str] = {}
    for service in sorted(services, key=key):
        for address in service.external_ips:
            for port in service.ports:
                holder = holders.setdefault((address, port.port, port.protocol), key(service))
                if holder != key(service):
                    problems.append(
                        f"Service {key(service)}: {address}:{port.port}/{port.protocol} is already taken by Service "
                        f"{holder} (write another externalIP or port in one of the two)"
                    )


def _written(service: Service, given: dict[str, str], holders: dict[str, str], problems: list[str]) -> None:
    holder = holders.setdefault(service.cluster_ip, key(service))
    if holder != key(service):
        problems.append(
            f"Service {key(service)}: clusterIP {service.cluster_ip} is already taken by Service {holder} "
            "(write another clusterIP in one of the two)"
        )
    given[key(service)] = service.cluster_ip


def _candidates(service: str) -> Iterator[str]:
    """Addresses in the order in which a Service tries them: neither the static ones nor the last."""
    room = SERVICE_RANGE.num_addresses - STATIC - 1
    start = digest("clusterIP", service) % room
    first = int(SERVICE_RANGE.network_address) + STATIC
    for step in range(TRIES):
        yield str(IPv4Address(first + (start + step) % room))
