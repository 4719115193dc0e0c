"""The one door to time: deadlines, and waits for a named condition.

Every wait has a name, a deadline and a last word, so that a time-out can say what was waited for, how
long, how often it was asked and what the last answer was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from harness.errors import RigError

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock; ``seconds`` is the whole span it was made for."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that lies ``seconds`` from now."""
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """Seconds until the deadline, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Whether the deadline is over."""
        return self.left() == 0.0


class NotYet(Exception):
    """Raised by a condition that does not hold yet; its text is the last word of a time-out."""


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that never jumps: for durations only."""
    return time.monotonic()


def until(
    condition: Callable[[], Answer],
    *,
    what: str,
    within: float,
    every: float = 0.05,
    failure: type[RigError] = RigError,
) -> Answer:
    """Ask ``condition`` until it answers instead of raising :class:`NotYet`, and return the answer.

    ``what`` names the condition for a person; ``within`` and ``every`` are seconds.

    Raises ``failure`` when the deadline passes first.
    """
    deadline = Deadline.after(within)
    tries = 0
    while True:
        tries += 1
        try:
            return condition()
        except NotYet as not_yet:
            if deadline.passed():
                raise failure(f"waited {within:g} s for {what}, asked {tries} times; last answer: {not_yet}") from None
        time.sleep(min(every, deadline.left()))  # noqa: TID251 - the one place that may
