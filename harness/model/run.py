"""One run from beginning to end: what reports are made of."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.drill import Scenario
from harness.model.observation import NodeFacts
from harness.model.plan import Plan
from harness.model.verdict import Diagnosis, Status, Verdict, worst


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a run: its name, its length in seconds, and what went wrong in it (empty: nothing)."""

    name: str
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """How one cell of traffic spread: from a vantage point to one nodePort of one node.

    ``counts`` maps pod keys to answers (an unexpected responder by the name it gave), ``failures`` outcome
    names to attempts. ``promise`` is how the cell is judged: ``spread``, ``coverage``, ``sticky`` (one pod answers
    this client), ``refused``, ``silent`` or ``closed`` (either). ``connect_ms_p50`` and ``connect_ms_p99`` are
    milliseconds over the successful attempts. ``way`` is what was asked: ``nodePort``, ``ClusterIP`` or ``externalIP``;
    of the latter two ``port`` is the Service's own, as ``service_port`` always is. ``at`` is the address asked when it
    is not the node's own one, or ``IPv6`` for its own one of that family.
    """

    vantage: str
    node: str
    service: str
    port: int
    protocol: str
    attempts: int
    counts: dict[str, int]
    failures: dict[str, int]
    late: int = 0
    connect_ms_p50: float | None = None
    connect_ms_p99: float | None = None
    promise: str = "spread"
    way: str = "nodePort"
    service_port: int = 0
    at: str = ""

    @property
    def place(self) -> str:
        """The node, with the address where that is not its own one."""
        return f"{self.node} ({self.at})" if self.at else self.node

    @property
    def lost(self) -> int:
        """Attempts that failed or came late, though an answer was promised."""
        return 0 if self.promise in ("refused", "silent", "closed") else sum(self.failures.values()) + self.late

    @property
    def wants(self) -> frozenset[str]:
        """The pods of ``counts`` whose silence would be a fault; those of a client that sticks are not known before."""
        heard = frozenset(pod for pod, times in self.counts.items() if times)
        return heard if self.promise == "sticky" and heard else frozenset(self.counts)


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one ``harness run``, ``harness verify`` or ``harness drill`` found out.

    ``provenance`` says what it was found with: versions, kernels, manifest digests, seed.
    """

    id: str
    lab: str
    driver: str
    started: str
    seconds: float
    phases: tuple[Phase, ...] = ()
    plan: Plan | None = None
    shares: tuple[Share, ...] = ()
    facts: tuple[NodeFacts, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    provenance: dict[str, str] | None = None
    scenarios: tuple[Scenario, ...] = ()

    @property
    def asked(self) -> int:
        """How many requests were made in all."""
        drilled = sum(course.attempts for scenario in self.scenarios for course in scenario.courses)
        return sum(share.attempts for share in self.shares) + drilled

    @property
    def status(self) -> Status:
        """The worst verdict; a run without any verdict proved nothing, so it is an ERROR."""
        if not self.verdicts:
            return Status.ERROR
        return worst([verdict.status for verdict in self.verdicts])
