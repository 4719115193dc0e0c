"""A steady stream of new connections from outside, while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.errors import RigError
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Attempt, Job, Target
from harness.probes.pace import Pace
from harness.probes.prober import open_probers

ROUND = 0.5
"""Seconds of attempts that are reported together."""

Hear = Callable[[Sequence[Attempt]], None]


@dataclass(slots=True)
class _Stream:
    """The stream to one target: a prober of its own, so that it goes on while another target lets attempts wait."""

    cluster: Cluster
    job: Job
    hear: Hear
    over: threading.Event
    begun: threading.Event = field(default_factory=threading.Event)
    broken: list[RigError] = field(default_factory=list)

    def run(self) -> None:
        pace = Pace(concurrency=512, rate=self.job.attempts / ROUND)
        try:
            with open_probers(self.cluster, [OUTSIDE], pace=pace) as probers:
                while not self.over.is_set() and not probers.lost:
                    self.hear(probers.ask({OUTSIDE: [self.job]}).attempts)
                    self.begun.set()
                self.broken.extend(RigError(why) for why in probers.lost.values())
        except RigError as error:
            self.broken.append(error)
        finally:
            self.begun.set()


@contextmanager
def steady(cluster: Cluster, targets: Sequence[Target], rate: float, hear: Hear) -> Iterator[None]:
    """While it holds, ``rate`` new connections a second go to each target; ``hear`` is told of them as they end.

    ``hear`` is called in other threads, one at a time. It begins once the first round of every target is over; at the
    end the last rounds are waited for.

    Raises :class:`RigError` when a prober itself cannot go on.
    """
    over, one_at_a_time = threading.Event(), threading.Lock()

    def told(attempts: Sequence[Attempt]) -> None:
        with one_at_a_time:
            hear(attempts)

    attempts = max(1, round(rate * ROUND))
    streams = [_Stream(cluster, Job(OUTSIDE, target, attempts), told, over) for target in targets]
    threads = [threading.Thread(target=stream.run, name=f"stream to {stream.job.target.node}") for stream in streams]
    for thread in threads:
        thread.start()
    try:
        for stream in streams:
            stream.begun.wait()
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if broken := [error for stream in streams for error in stream.broken]:
        raise broken[0]
