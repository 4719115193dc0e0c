"""One run from beginning to end: what reports are made of."""

from __future__ import annotations

from dataclasses import dataclass

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
    names to attempts. ``connect_ms_p50`` and ``connect_ms_p99`` are milliseconds over the successful attempts.
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


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one ``harness run`` or ``harness verify`` found out.

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

    @property
    def status(self) -> Status:
        """The worst verdict; a run without any verdict proved nothing, so it is an ERROR."""
        if not self.verdicts:
            return Status.ERROR
        return worst([verdict.status for verdict in self.verdicts])
