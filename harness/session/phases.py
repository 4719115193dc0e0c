"""The phases of a run: announced, timed, and kept, whatever becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.model.progress import Listener, PhaseEnded, PhaseStarted
from harness.model.run import Phase
from harness.support import clock


@dataclass(slots=True)
class Summary:
    """What a phase came to, in one line; set by the phase itself."""

    text: str = ""


@dataclass(slots=True)
class Phases:
    """The phases so far, told to ``listener`` as they begin and end."""

    listener: Listener
    done: list[Phase] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[Summary]:
        """One phase; an error in it is kept with it and goes on its way."""
        self.listener(PhaseStarted(name))
        began = clock.monotonic()
        summary = Summary()
        try:
            yield summary
        except HarnessError as error:
            self._end(name, began, error.message.splitlines()[0], error=str(error))
            raise
        except KeyboardInterrupt:
            self._end(name, began, "interrupted", error="interrupted")
            raise
        self._end(name, began, summary.text)

    def _end(self, name: str, began: float, summary: str, *, error: str = "") -> None:
        seconds = clock.monotonic() - began
        self.done.append(Phase(name, seconds, error))
        self.listener(PhaseEnded(name, seconds, summary, failed=bool(error)))
