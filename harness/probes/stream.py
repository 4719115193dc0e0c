"""A steady stream of new connections from outside, while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from harness.errors import RigError
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Attempt, Job, Target
from harness.probes.prober import Pace, open_probers

ROUND = 0.5
"""Seconds of attempts that are reported together."""

Hear = Callable[[Sequence[Attempt]], None]


@contextmanager
def steady(cluster: Cluster, targets: Sequence[Target], rate: float, hear: Hear) -> Iterator[None]:
    """While it holds, ``rate`` new connections a second go to each target; ``hear`` is told of them as they end.

    ``hear`` is called in a thread of its own. It begins once the first round is answered; at the end the last round is
    waited for.

    Raises :class:`RigError` when the prober itself cannot go on.
    """
    over, begun = threading.Event(), threading.Event()
    broken: list[RigError] = []
    attempts = max(1, round(rate * ROUND))
    pace = Pace(concurrency=512, rate=attempts / ROUND * len(targets))
    jobs = {OUTSIDE: [Job(OUTSIDE, target, attempts) for target in targets]}

    def run() -> None:
        try:
            with open_probers(cluster, [OUTSIDE], pace=pace) as probers:
                while not over.is_set() and not probers.lost:
                    hear(probers.ask(jobs).attempts)
                    begun.set()
                broken.extend(RigError(why) for why in probers.lost.values())
        except RigError as error:
            broken.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=run, name="steady stream")
    thread.start()
    try:
        begun.wait()
        yield
    finally:
        over.set()
        thread.join()
    if broken:
        raise broken[0]
