"""What somebody else's machines promise: Services that this project did not set up, as an expectation file says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from harness.model.address import IPFamily
from harness.model.observation import Ask
from harness.model.workload import Protocol


class Picks(StrEnum):
    """How a forwarder picks an endpoint: by chance with equal chances, each in its turn, or by chance with weights."""

    RANDOM = "random"
    ROUND_ROBIN = "round-robin"
    WEIGHTS = "weights"


class SourceIP(StrEnum):
    """Whether endpoints see the client's own address; ``ANY`` promises nothing."""

    KEPT = "kept"
    HIDDEN = "hidden"
    ANY = ""


class Localhost(StrEnum):
    """Whether a node answers itself on 127.0.0.1; ``ANY`` promises nothing."""

    ANSWERS = "answers"
    CLOSED = "closed"
    ANY = ""


@dataclass(frozen=True, slots=True)
class PromisedEndpoint:
    """One server behind a nodePort: ``answers`` is what its answers call it.

    ``address``, ``port`` and ``node`` may be unknown (empty, 0). A ``weight`` of 0: it must not answer. ``family``
    is that of the nodePorts that lead to it, ``None`` when those of every family do.
    """

    name: str
    answers: str
    address: str = ""
    port: int = 0
    node: str = ""
    weight: int = 1
    family: IPFamily | None = None


@dataclass(frozen=True, slots=True)
class PromisedPort:
    """One nodePort with its endpoints, none when it must refuse; ``port`` is the Service's own, for people."""

    node_port: int
    protocol: Protocol
    port: int
    ask: Ask
    endpoints: tuple[PromisedEndpoint, ...]
    name: str = ""

    def of(self, family: IPFamily) -> PromisedPort:
        """What it is at addresses of one family."""
        return replace(self, endpoints=tuple(end for end in self.endpoints if end.family in (None, family)))


@dataclass(frozen=True, slots=True)
class PromisedService:
    """A Service and its promises.

    ``local``: externalTrafficPolicy Local. ``sticky``: sessionAffinity ClientIP. Otherwise ``picks`` says how clients
    are spread. ``families`` are those of the addresses of nodes at which its nodePorts answer; ``written``: somebody
    wrote so, it is not what an exported object happens to have.
    """

    namespace: str
    name: str
    ports: tuple[PromisedPort, ...]
    picks: Picks = Picks.RANDOM
    source_ip: SourceIP = SourceIP.ANY
    localhost: Localhost = Localhost.ANY
    local: bool = False
    sticky: bool = False
    families: tuple[IPFamily, ...] = (IPFamily.V4,)
    written: bool = True

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """Everything that is promised; unique in nodePorts."""

    services: tuple[PromisedService, ...]
