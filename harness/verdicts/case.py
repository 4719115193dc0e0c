"""One cell before the judge, and what its checks have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.model.verdict import Status, Verdict
from harness.verdicts.expectations import Cell
from harness.verdicts.stages import Budget
from harness.verdicts.tally import Counts, Tally


@dataclass(frozen=True, slots=True)
class Case:
    """One cell before the judge; ``even`` when picks of its Service port are dealt in turn, not drawn.

    ``starved`` says in words which of the cell's machines were short of CPU, empty when none was.
    """

    cell: Cell
    tally: Tally
    budget: Budget
    seed: int | None
    even: bool = False
    starved: str = ""

    @property
    def both(self) -> Counts:
        """Everything seen of the cell."""
        return self.tally.both

    @property
    def second(self) -> Counts:
        """The fresh sample; empty when none was asked for."""
        return self.tally.second or Counts()

    def verdict(self, check: str, status: Status, summary: str, **evidence: object) -> Verdict:
        """A verdict about this cell, with the evidence that all checks share."""
        shared: dict[str, object] = {
            "attempts": self.both.n,
            "counts": {endpoint.pod: self.both.answers.get(endpoint.pod, 0) for endpoint in self.cell.endpoints},
            "wrong": dict(self.both.wrong),
            "failures": {str(outcome): times for outcome, times in self.both.failures.items()},
            "late": self.both.late,
            "slow": self.both.slow,
            "set_aside": self.both.set_aside,
            "stage_two_attempts": self.second.n,
            "seed": self.seed,
        }
        cell = self.cell
        return Verdict(check, str(cell), status, summary, cell.node, cell.vantage, cell.service, {**shared, **evidence})


def twice(case: Case, kind: Callable[[Counts], int]) -> Status:
    """The two-stage rule for what is not tolerated at all."""
    first, second = kind(case.tally.first), kind(case.second)
    if first and second:
        return Status.FAIL
    return Status.INCONCLUSIVE if first or second else Status.PASS


def outcomes(counts: Counts) -> str:
    """``12 timeout, 5 late``: how attempts went wrong, most frequent first."""
    kinds: dict[str, int] = {str(outcome): times for outcome, times in counts.failures.items()}
    if counts.late > counts.slow:
        kinds["late (second SYN needed)"] = counts.late - counts.slow
    if counts.slow:
        kinds["slow to connect (the first SYN was answered)"] = counts.slow
    return listed(kinds)


def listed(kinds: Mapping[str, int]) -> str:
    """``12 web-1, 3 web-0``, most first."""
    return ", ".join(f"{times} {kind}" for kind, times in sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0])))


def seen_again(case: Case, status: Status, told: str) -> str:
    """What is told of something that must not be: that it was only there once, where it was."""
    return told if status is not Status.INCONCLUSIVE else f"transient: {told}, but not in both samples{sizes(case)}"


def sizes(case: Case) -> str:
    """How much was asked in either stage."""
    return f" ({case.tally.first.n} attempts, then {case.second.n})"
