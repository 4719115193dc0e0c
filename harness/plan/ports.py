"""nodePort allocation, as the API server does it, but deterministic and stable over plans.

The allocator counts port numbers, not (protocol, port): two Services never share a nodePort, but within one
Service, entries with the same ``port`` share one across protocols (pkg/registry/core/service/storage/alloc.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.model.plan import Plan, PlannedPort
from harness.model.workload import Protocol, Service, ServicePort, ServiceType
from harness.plan.names import digest

STATIC_BAND = range(30000, 30086)
"""Left to people who write a nodePort; used for others only when the other band is full (KEP-3668)."""

DYNAMIC_BAND = range(30086, 32768)

NodePorts = Mapping[tuple[str, int], int]
"""The nodePort for (Service key, place of the port in ``Service.ports``)."""


def key(service: Service) -> str:
    """``namespace/name``."""
    return f"{service.namespace}/{service.name}"


def allocate(services: Sequence[Service], previous: Plan | None, problems: list[str]) -> NodePorts:
    """A nodePort for every port of every NodePort Service; what cannot be had is added to ``problems``.

    Order of claims: what a Service writes; what it had in ``previous``; the upper band; the lower band. A
    number that another Service still holds from before is refused to one that writes it, as Kubernetes does.
    """
    wanting = sorted((service for service in services if service.type is ServiceType.NODE_PORT), key=key)
    held = _held(previous)
    book = _Book()
    for service in wanting:
        book.take_health_check(service, problems)
    for service in wanting:
        book.take_written(service, problems)
    for service in wanting:
        book.keep(service, held.get(key(service), ()), problems)
    missing = [(service, place) for service in wanting for place in book.missing(service)]
    unserved = sum(not book.draw(service, place) for service, place in missing)
    if unserved:
        problems.append(
            f"the nodePort range {STATIC_BAND.start}-{DYNAMIC_BAND.stop - 1} is full: {unserved} more asked for "
            f"than its {len(STATIC_BAND) + len(DYNAMIC_BAND)} numbers (use fewer NodePort Services)"
        )
    return book.given


def _held(previous: Plan | None) -> dict[str, tuple[PlannedPort, ...]]:
    """The ports of the previous plan's Services by Service key."""
    return {service.key: service.ports for service in previous.services} if previous else {}


@dataclass(slots=True)
class _Book:
    """Who has which number while a plan is made."""

    given: dict[tuple[str, int], int] = field(default_factory=dict)
    holders: dict[int, str] = field(default_factory=dict)

    def take_health_check(self, service: Service, problems: list[str]) -> None:
        """Keep the number at which nodes tell of a Service's endpoints from being a nodePort."""
        number = service.health_check_node_port
        if number:
            claim = f"{key(service)} (its health check)"
            holder = self.holders.setdefault(number, claim)
            if holder != claim:
                problems.append(
                    f"Service {key(service)}: health check nodePort {number} is already taken by Service {holder} "
                    "(write another number in one of the two)"
                )

    def take_written(self, service: Service, problems: list[str]) -> None:
        """Give a Service the nodePorts it writes."""
        for place, port in enumerate(service.ports):
            if port.node_port is None:
                continue
            holder = self.holders.get(port.node_port, key(service))
            if holder != key(service):
                problems.append(
                    f"Service {key(service)}: nodePort {port.node_port} is already taken by Service {holder} "
                    "(write another nodePort in one of the two)"
                )
            self._give(service, place, port.node_port)

    def keep(self, service: Service, before: Sequence[PlannedPort], problems: list[str]) -> None:
        """Give a Service's ports the nodePorts they had, unless they write another."""
        for place, port in enumerate(service.ports):
            if port.node_port is not None:
                continue
            number = _number_before(port, before)
            if number is None:
                continue
            writer = self.holders.get(number, key(service))
            if writer != key(service):
                problems.append(
                    f"Service {writer}: nodePort {number} is already allocated to Service {key(service)} "
                    f"(write another nodePort, or give {key(service)} one of its own, or remove it first)"
                )
            elif self._fits(service, port, number):
                self._give(service, place, number)

    def share(self, service: Service) -> None:
        """Let an entry without nodePort use that of an entry with the same ``port``."""
        for place in self.missing(service):
            port = service.ports[place]
            for mate in range(len(service.ports)):
                number = self.given.get((key(service), mate))
                if number is not None and self._fits(service, port, number):
                    self._give(service, place, number)
                    break

    def draw(self, service: Service, place: int) -> bool:
        """Allocate a number, upper band first, or the number a mate has got by now; whether there was one.

        The search starts at a point that depends on the Service and port alone, so that Services which come
        and go elsewhere do not shift it.
        """
        self.share(service)
        if (key(service), place) in self.given:
            return True
        if len(self.holders) == len(STATIC_BAND) + len(DYNAMIC_BAND):
            return False
        port = service.ports[place]
        number = next(number for number in _candidates(key(service), port.port) if number not in self.holders)
        self._give(service, place, number)
        return True

    def missing(self, service: Service) -> list[int]:
        """The places of a Service's ports that have no nodePort yet."""
        return [place for place in range(len(service.ports)) if (key(service), place) not in self.given]

    def _give(self, service: Service, place: int, number: int) -> None:
        self.given[key(service), place] = number
        self.holders.setdefault(number, key(service))

    def _fits(self, service: Service, port: ServicePort, number: int) -> bool:
        """Whether the Service does not use the number for another ``port`` yet."""
        places = range(len(service.ports))
        users = [service.ports[place] for place in places if self.given.get((key(service), place)) == number]
        return all(user.port == port.port for user in users)


def _number_before(port: ServicePort, before: Sequence[PlannedPort]) -> int | None:
    """What this port had: by its name, as the API server carries nodePorts over; else by port and protocol."""
    identities: dict[str | tuple[int, Protocol], int | None] = {}
    for old in before:
        identities.setdefault((old.port, old.protocol), old.node_port)
        identities.setdefault(old.name, old.node_port)
    return identities.get(port.name, identities.get((port.port, port.protocol)))


def _candidates(service_key: str, port: int) -> Iterator[int]:
    """All numbers in the order in which this port tries them."""
    for band in (DYNAMIC_BAND, STATIC_BAND):
        start = digest("nodePort", service_key, port) % len(band)
        yield from band[start:]
        yield from band[:start]
