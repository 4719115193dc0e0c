"""How fast probers go about their attempts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.observation import Job


@dataclass(frozen=True, slots=True)
class Pace:
    """How a prober goes about its attempts: bounds in time (seconds) and number.

    ``connect_seconds`` lets the first and second retransmission of a SYN be seen, at 1 s and at 2 or 3 s
    (``tcp_syn_linear_timeouts``). ``rate`` is new attempts a second, 0 for as many as ``concurrency`` in flight allow;
    ``seconds`` bounds one call of :meth:`Prober.run`. ``each_node`` bounds the attempts in flight of all probers
    of a round, for each node that it asks; each prober has its part of them, but always one (0: no such bound).
    """

    concurrency: int = 32
    each_node: int = 0
    rate: float = 0.0
    connect_seconds: float = 3.5
    answer_seconds: float = 3.5
    seconds: float = 120.0


def parts(jobs: Mapping[str, Sequence[Job]], each_node: int) -> Mapping[str, int]:
    """How many attempts each prober may have in flight, so that all come to their end at about the same time."""
    if not each_node:
        return {}
    attempts = {vantage: sum(job.attempts for job in own) for vantage, own in jobs.items()}
    whole = max(1, sum(attempts.values()))
    together = each_node * len({job.target.node for own in jobs.values() for job in own})
    return {vantage: max(1, together * own // whole) for vantage, own in attempts.items()}
