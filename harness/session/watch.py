"""Who answers on every node, again and again until told to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event

from harness import probes
from harness.model.observation import Attempt, Outcome
from harness.model.plan import Plan
from harness.session import drill
from harness.session.lab import Lab
from harness.support import clock

SILENT = 2
"""So many times nothing may have ended since the last look; if that goes on, it is shown."""

LONGEST = 24 * 3600.0
"""Seconds after which it ends by itself."""


@dataclass(slots=True)
class Seen:
    """All that was seen so far."""

    asked: int = 0
    lost: int = 0
    fresh: list[Attempt] = field(default_factory=list)

    def hear(self, attempts: Sequence[Attempt]) -> None:
        """Take note of attempts."""
        self.asked += len(attempts)
        self.lost += sum(attempt.outcome is not Outcome.OK for attempt in attempts)
        self.fresh.extend(attempts)

    def take(self) -> list[Attempt]:
        """What came since the last time."""
        taken, self.fresh = self.fresh, []
        return taken


Show = Callable[[Sequence[Attempt], Seen, Plan], None]


def watch(lab: Lab, wanted: str | None, rate: float, seconds: float | None, every: float, show: Show) -> Seen:
    """Ask every node ``rate`` times a second and ``show`` what came of it, for so many seconds or until Ctrl-C.

    Raises :class:`harness.errors.HarnessError`.
    """
    cluster = lab.cluster()
    plan = lab.applied_plan(cluster) or drill.nothing_applied()
    _, port = drill.service_port(plan, wanted)
    seen, over, silent = Seen(), Event(), 0
    until = clock.Deadline.after(min(seconds if seconds is not None else LONGEST, LONGEST))
    try:
        with probes.steady(cluster, drill.targets(cluster, port), rate, seen.hear):
            while until.left() > every / 2:
                over.wait(min(every, until.left()))
                plan = lab.applied_plan(cluster) or plan
                attempts = seen.take()
                if attempts or silent >= SILENT:
                    show(attempts, seen, plan)
                silent = 0 if attempts else silent + 1
    except KeyboardInterrupt:
        pass
    return seen
