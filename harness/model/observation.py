"""What was seen: one value for each attempt, nothing left out and nothing retried in silence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.model.address import IPFamily
from harness.model.forwarder import DEFAULT
from harness.model.workload import Protocol

OUTSIDE = "outside"
"""The vantage point that is no node: a client outside the cluster."""


CLIENTS = "clients"
"""The vantage point of many clients outside, each with an address of its own."""

_POD = "pod/"


def pod_vantage(pod: str) -> str:
    """The name of a pod (by its key) as a vantage point: ``pod/default/web-1``."""
    return f"{_POD}{pod}"


def pod_of(vantage: str) -> str:
    """The key of the pod that is the vantage point; empty when it is none."""
    return vantage.removeprefix(_POD) if vantage.startswith(_POD) else ""


class Outcome(StrEnum):
    """What became of one attempt; for everything but ``OK`` it is the way in which it failed."""

    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    HANG = "no answer after connect"
    CLOSED = "closed without an answer"
    BAD_ANSWER = "bad answer"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What is probed: an address and port, and the node the address belongs to (its pod's node for a pod).

    ``size`` is how many bytes are sent and have to come back, 0 where that is no matter.
    """

    node: str
    address: str
    port: int
    protocol: Protocol
    size: int = 0


class Speak(StrEnum):
    """How an answer is got: an HTTP request, a line over TCP, one datagram, or the HTTP request of a load balancer."""

    HTTP = "http"
    LINE = "line"
    DATAGRAM = "datagram"
    HEALTH = "health"


class Find(StrEnum):
    """Where in an answer something stands: it is the body, a header, a field of JSON, or what a pattern matches."""

    BODY = "body"
    HEADER = "header"
    JSON = "json"
    REGEX = "regex"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in an answer; ``what`` is a header's name, a path of JSON fields (``pod.name``), or a pattern.

    A pattern with a group means the first group. It is looked for in the whole answer, head and body.
    """

    find: Find = Find.BODY
    what: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Ask:
    """What is said to a foreign server, and where its answer says who it is and which client it saw.

    ``request`` is the path of an HTTP request, else the text that is sent first (empty: nothing, it speaks first).
    ``client`` is ``None`` where answers do not tell the client's address.
    """

    speak: Speak = Speak.HTTP
    request: str = "/hostname"
    name: Place = Place()
    client: Place | None = None


@dataclass(frozen=True, slots=True, order=True)
class Job:
    """So many attempts, asked of one vantage point at one target: each on a new connection from a new source port.

    ``ask`` is ``None`` for our own responder, whose answers tell everything. ``sources`` are the addresses that the
    attempts come from, in turn; without any the kernel chooses one.
    """

    vantage: str
    target: Target
    attempts: int
    ask: Ask | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One new connection (or datagram) from a new source port.

    ``connect_ms`` and ``total_ms`` are milliseconds from the start of the attempt, ``None`` when that point was
    not reached. ``responder`` is the hostname that answered, ``uid`` the pod uid it gave (empty from a foreign
    responder), ``seen_source`` the client address and port that the pod saw. ``stalled``
    marks an attempt during which the prober itself was held up, so that its times say nothing. ``source`` is the
    address that it was made from, empty when nobody chose one. ``began`` is seconds on
    the monotonic clock of the vantage point's machine, to compare attempts of one vantage point. ``round_trip_ms``
    is the handshake's, from the SYN that was answered, as the kernel of the vantage point measured it; told only of
    connects that took long.
    """

    vantage: str
    target: Target
    outcome: Outcome
    source_port: int
    connect_ms: float | None = None
    total_ms: float | None = None
    responder: str = ""
    uid: str = ""
    seen_source: str = ""
    detail: str = ""
    stalled: bool = False
    source: str = ""
    began: float = 0.0
    round_trip_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Strain:
    """How short of CPU the machine of a vantage point was.

    ``pressure`` is the share of the time during which some process of it waited for a CPU, ``None`` when it does not
    tell; ``stalls`` is how often the prober itself was held up. The worst of several rounds is kept.
    """

    pressure: float | None = None
    stalls: int = 0

    def __or__(self, other: Strain) -> Strain:
        """The worse of both."""
        told = [each for each in (self.pressure, other.pressure) if each is not None]
        return Strain(max(told, default=None), max(self.stalls, other.stalls))


@dataclass(frozen=True, slots=True)
class Versions:
    """What a node runs on, in its own words: ``os_image`` as Kubernetes says it; empty where the node did not say."""

    kernel: str = ""
    os_image: str = ""
    nftables: str = ""
    python: str = ""


@dataclass(frozen=True, slots=True)
class Unready:
    """A pod (by its key) that a node does not use, as its own checks fail: for how many seconds, and why.

    ``family`` is that of the address at which they do.
    """

    pod: str
    seconds: float
    why: str
    family: IPFamily = IPFamily.V4


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections that a node's kernel tracks: ``count``, the most while it was looked at, of ``room``.

    ``lost`` are packets dropped and half-open connections given up in favour of others since the node started, ``None``
    where the kernel does not tell; ``lately`` those of them while it was looked at.
    """

    count: int = 0
    room: int = 0
    lost: int | None = None
    lately: int = 0

    def since(self, before: Connections) -> Connections:
        """What is so now, where it was ``before`` at first."""
        lately = self.lost - before.lost if self.lost is not None and before.lost is not None else 0
        return Connections(max(self.count, before.count), self.room, self.lost, max(0, lately))

    @property
    def full(self) -> bool:
        """Whether new ones found no room: some were lost while most of it was taken. What ends makes room again."""
        if self.lost is None:
            return 0 < self.room <= self.count
        return self.lately > 0 and 4 * self.count >= 3 * self.room


@dataclass(frozen=True, slots=True)
class Facts6:
    """What a node with an IPv6 address says of that half: as in :class:`NodeFacts`, ``forwards`` is its forwarding."""

    table_present: bool
    masquerade_present: bool
    forwards: bool
    missing_routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of itself, by testinfra: questions with a fixed answer when all is well.

    ``foreign_drops`` lists rules of other tables, as ``table chain: rule``, that drop or reject forwarded or
    incoming traffic. ``drift`` is what of nodeportd's table is not as nodeportd left it; ``busy`` why nobody can tell,
    empty where it is known.
    ``table_present``: what forwards is there, the table or whatever ``backend`` has in its place; ``leftovers`` are
    other forwarders of ours of which something is still there. ``tunnel`` is the link over which pods of several nodes
    meet, where they need one; ``network_drift`` what of the pod network, routes aside, is not as it was made, as the
    commands that would mend it.
    ``reachable`` is false when the node did not answer at all; ``error`` says why. ``versions`` are what it runs on.
    ``six`` is what concerns IPv6, ``None`` where there is none; then all else of networks is about IPv4.
    """

    node: str
    reachable: bool
    error: str = ""
    versions: Versions = Versions()
    generation: int | None = None
    forwarder_running: bool = False
    forwarder_error: str = ""
    table_present: bool = False
    masquerade_present: bool = False
    ip_forward: bool = False
    missing_routes: tuple[str, ...] = ()
    pods_not_running: tuple[str, ...] = ()
    foreign_drops: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    busy: str = ""
    backend: str = DEFAULT
    leftovers: tuple[str, ...] = ()
    unready: tuple[Unready, ...] = ()
    tunnel: str = ""
    network_drift: tuple[str, ...] = ()
    connections: Connections = Connections()
    six: Facts6 | None = None
