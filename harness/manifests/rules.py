"""The API's rules that need more than one object to be seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.errors import Fault
from harness.model.workload import Source


@dataclass(frozen=True, slots=True)
class Identity:
    """An object's name, unique within kind and namespace (empty for kinds without), and where it is written."""

    kind: str
    namespace: str
    name: str
    source: Source

    def __str__(self) -> str:
        """``Kind namespace/name``."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A nodePort that a Service asks for, and the field in which it does."""

    number: int
    service: Identity
    field: str
    source: Source


def twice(identities: Iterable[Identity]) -> Iterator[Fault]:
    """Objects that are written twice."""
    first: dict[tuple[str, str, str], Identity] = {}
    for identity in identities:
        holder = first.setdefault((identity.kind, identity.namespace, identity.name), identity)
        if holder is not identity:
            at = identity.source
            yield Fault(at.file, at.line, "metadata.name", f"{identity} is there twice", f"first at {holder.source}")


def claimed(claims: Iterable[Claim]) -> Iterator[Fault]:
    """NodePorts that two Services ask for, whatever the protocol: the allocator counts numbers (portallocator)."""
    first: dict[int, Claim] = {}
    for claim in claims:
        holder = first.setdefault(claim.number, claim)
        if str(holder.service) != str(claim.service):
            at = claim.source
            reason = f"{claim.number} is already taken by {holder.service}, at {holder.source}"
            yield Fault(
                at.file, at.line, claim.field, reason, "choose another, or leave it out and a free one is taken"
            )
