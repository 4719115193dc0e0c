"""What happens while it happens: told by the rooms that take time, shown by the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.model.convergence import TaskResult


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase of the run begins."""

    name: str


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """A phase is over after so many seconds; ``summary`` is one line, ``failed`` whether it stopped the run."""

    name: str
    seconds: float
    summary: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Something within a phase begins; one line for a person."""

    text: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """Ansible begins a task on all nodes."""

    task: str


Event = PhaseStarted | PhaseEnded | Step | TaskStarted | TaskResult
Listener = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The listener that listens to nothing."""
