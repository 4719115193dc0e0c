"""Attempts, counted: what came of all attempts of one cell, stage by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from harness.model.observation import Attempt, Job, Outcome, Strain
from harness.model.run import Share
from harness.verdicts.expectations import Cell, CellKey, Expected

Name = TypeVar("Name", bound=Hashable)

LATE_MS = 900.0
"""A connect that took this long needed a second SYN: the ladder of retransmissions begins at 1 s (RFC 6298)."""

NAMELESS = "(nameless)"
"""Who answered when the answer was fine but gave no name."""

HELD_UP = frozenset({Outcome.TIMEOUT, Outcome.HANG})
"""Outcomes that a prober which was itself held up may have made up."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of a number of attempts.

    ``answers`` maps pod keys to answers, ``wrong`` the names of others who answered, ``failures`` outcomes.
    ``late`` counts answers whose connection took as long as one that needs a second SYN, ``slow`` those of them whose
    first SYN was answered nevertheless, only slowly. ``set_aside`` counts attempts that say nothing,
    because the prober was held up; they are in ``asked``, but not in ``n``. ``sources`` maps the client addresses
    that pods saw to answers, but for pods that are *near*. ``connect_ms`` are the times of all answers that were not
    held up. ``clients`` maps a client's address and a pod to the pod's answers to it.
    """

    asked: int = 0
    answers: Mapping[str, int] = field(default_factory=dict)
    wrong: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[Outcome, int] = field(default_factory=dict)
    late: int = 0
    set_aside: int = 0
    sources: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, int] = field(default_factory=dict)
    connect_ms: tuple[float, ...] = ()
    clients: Mapping[tuple[str, str], int] = field(default_factory=dict)
    slow: int = 0

    @property
    def answered(self) -> int:
        """Attempts that were answered, by whomever."""
        return sum(self.answers.values()) + sum(self.wrong.values())

    @property
    def failed(self) -> int:
        """Attempts that were not."""
        return sum(self.failures.values())

    @property
    def n(self) -> int:
        """Attempts that say something."""
        return self.answered + self.failed

    @property
    def bad(self) -> int:
        """Attempts that were not answered, or late, or by somebody else: none is tolerated."""
        return self.failed + self.late + sum(self.wrong.values())

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.asked + other.asked,
            _sum(self.answers, other.answers),
            _sum(self.wrong, other.wrong),
            _sum(self.failures, other.failures),
            self.late + other.late,
            self.set_aside + other.set_aside,
            _sum(self.sources, other.sources),
            _sum(self.details, other.details),
            self.connect_ms + other.connect_ms,
            _sum(self.clients, other.clients),
            self.slow + other.slow,
        )

    def of(self, endpoints: Iterable[Expected]) -> list[int]:
        """Answers of each endpoint, in the order given."""
        return [self.answers.get(endpoint.pod, 0) for endpoint in endpoints]


def _sum(left: Mapping[Name, int], right: Mapping[Name, int]) -> dict[Name, int]:
    return dict(Counter(left) + Counter(right))


@dataclass(frozen=True, slots=True)
class Tally:
    """Both stages of one cell: ``first``, and the fresh sample ``second`` that an alarm in the first asks for."""

    first: Counts = field(default_factory=Counts)
    second: Counts | None = None

    @property
    def both(self) -> Counts:
        """Everything that was seen of the cell."""
        return self.first if self.second is None else self.first + self.second


@dataclass(frozen=True, slots=True)
class Tallies:
    """What is known so far: a tally for each cell, and the vantage points that could not be reached, with why.

    ``strains`` says how short of CPU each vantage point was at the worst.
    """

    cells: Mapping[CellKey, Tally] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    strains: Mapping[str, Strain] = field(default_factory=dict)

    def of(self, cell: Cell) -> Tally:
        """The tally of a cell; an empty one when nothing was tried."""
        return self.cells.get(cell.key, Tally())


@dataclass(frozen=True, slots=True)
class Need:
    """Attempts wanted next of one cell; ``confirming`` when they are the fresh sample after an alarm.

    ``begun``: many clients have made so many attempts of this sample already, so it is the next one's turn.
    """

    cell: Cell
    attempts: int
    confirming: bool = False
    begun: int = 0

    @property
    def job(self) -> Job:
        """The same for a prober."""
        half = len(self.cell.clients) // 2
        sources = self.cell.clients[half:] if self.confirming else self.cell.clients[:half]
        first = self.begun % half if half else 0
        in_turn = sources[first:] + sources[:first]
        return Job(self.cell.vantage, self.cell.key.target, self.attempts, self.cell.ask, in_turn)


def add(
    tallies: Tallies,
    needs: Sequence[Need],
    attempts: Iterable[Attempt],
    lost: Mapping[str, str] | None = None,
    strains: Mapping[str, Strain] | None = None,
) -> Tallies:
    """The tallies after a round: its needs, every attempt made for them, and the vantage points lost in it.

    ``lost`` maps a vantage point that could not be reached to the reason, ``strains`` the others to what their
    machines told. Attempts that no need asked for are
    left out.
    """
    sorted_attempts: dict[CellKey, list[Attempt]] = {need.cell.key: [] for need in needs}
    for attempt in attempts:
        sorted_attempts.get(CellKey(attempt.vantage, attempt.target), []).append(attempt)
    cells = dict(tallies.cells)
    for need in needs:
        tally = tallies.of(need.cell)
        fresh = replace(count(sorted_attempts[need.cell.key], need.cell.endpoints), asked=need.attempts)
        if need.confirming:
            cells[need.cell.key] = Tally(tally.first, fresh if tally.second is None else tally.second + fresh)
        else:
            cells[need.cell.key] = Tally(tally.first + fresh, tally.second)
    worst = {vantage: strain | tallies.strains.get(vantage, Strain()) for vantage, strain in (strains or {}).items()}
    return Tallies(cells, {**tallies.lost, **(lost or {})}, {**tallies.strains, **worst})


def count(attempts: Sequence[Attempt], endpoints: Sequence[Expected]) -> Counts:
    """Count attempts, where these endpoints are expected to answer and nobody else."""
    usable = [attempt for attempt in attempts if not (attempt.stalled and attempt.outcome in HELD_UP)]
    answered = [attempt for attempt in usable if attempt.outcome is Outcome.OK]
    failed = [attempt for attempt in usable if attempt.outcome is not Outcome.OK]
    named = [(_expected(attempt, endpoints), attempt) for attempt in answered]
    itself = {endpoint.pod for endpoint in endpoints if endpoint.itself}
    calm = [attempt for attempt in answered if not attempt.stalled]
    timed = [attempt.connect_ms for attempt in calm if attempt.connect_ms is not None]
    return Counts(
        asked=len(attempts),
        answers=Counter(pod for pod, _ in named if pod),
        wrong=Counter(stranger(attempt) for pod, attempt in named if not pod),
        failures=Counter(attempt.outcome for attempt in failed),
        late=sum(ms >= LATE_MS for ms in timed),
        set_aside=len(attempts) - len(usable),
        sources=Counter(
            attempt.seen_source.rpartition(":")[0].strip("[]")
            for pod, attempt in named
            if attempt.seen_source and pod not in itself
        ),
        details=Counter(f"{attempt.outcome}: {attempt.detail}" for attempt in failed if attempt.detail),
        connect_ms=tuple(timed),
        clients=Counter((attempt.source, pod) for pod, attempt in named if pod and attempt.source),
        slow=sum(map(_slow, calm)),
    )


def _slow(attempt: Attempt) -> bool:
    """Whether the connect took long though no SYN was lost: its answer belongs to the first one, by its round trip.

    After a lost SYN the round trip is that of the second, so it lacks the second before that was sent.
    """
    if attempt.connect_ms is None or attempt.connect_ms < LATE_MS or attempt.round_trip_ms is None:
        return False
    return attempt.connect_ms - attempt.round_trip_ms < LATE_MS


def _expected(attempt: Attempt, endpoints: Sequence[Expected]) -> str:
    """The key of the endpoint's pod that answered, or nothing: a right name with another uid is a stale pod."""
    for endpoint in endpoints:
        if attempt.responder == endpoint.hostname and endpoint.uid in ("", attempt.uid):
            return endpoint.pod
    return ""


def stranger(attempt: Attempt) -> str:
    """How somebody who should not have answered is called: the name given, with its uid if it gave one."""
    name = attempt.responder or NAMELESS
    return f"{name} (uid {attempt.uid})" if attempt.uid else name


def shares(cells: Sequence[Cell], tallies: Tallies) -> tuple[Share, ...]:
    """How every cell of traffic spread, for reports; cells that were not probed are left out."""
    return tuple(_share(cell, tallies.of(cell).both) for cell in cells if tallies.of(cell).both.n)


def _share(cell: Cell, counts: Counts) -> Share:
    zero = {endpoint.pod: 0 for endpoint in cell.endpoints}
    ordered = sorted(counts.connect_ms)
    return Share(
        vantage=cell.vantage,
        node=cell.node,
        service=cell.service,
        port=cell.key.target.port,
        protocol=str(cell.key.target.protocol),
        attempts=counts.n,
        counts={**zero, **counts.answers, **counts.wrong},
        failures={str(outcome): times for outcome, times in counts.failures.items()},
        late=counts.late,
        connect_ms_p50=_quantile(ordered, 0.5),
        connect_ms_p99=_quantile(ordered, 0.99),
        promise=str(cell.depth),
        way=str(cell.way),
        service_port=cell.port,
        at=cell.place,
    )


def _quantile(ordered: Sequence[float], q: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * round(q * 100) // 100) - 1)]
