"""How fast probers go about their attempts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How a prober goes about its attempts: bounds in time (seconds) and number.

    ``connect_seconds`` lets the first and second retransmission of a SYN be seen, at 1 s and at 2 or 3 s
    (``tcp_syn_linear_timeouts``). ``rate`` is new attempts a second, 0 for as many as ``concurrency`` in flight allow;
    ``seconds`` bounds one call of :meth:`Prober.run`. ``together`` bounds the attempts in flight of all
    probers of a round, each with its part of them by what it is asked, but for two that each may have (0: no bound).
    """

    concurrency: int = 32
    together: int = 0
    rate: float = 0.0
    connect_seconds: float = 3.5
    answer_seconds: float = 3.5
    seconds: float = 120.0


def parts(attempts: Mapping[str, int], together: int) -> Mapping[str, int]:
    """How many attempts each may have in flight, so that all come to their end at about the same time."""
    whole = max(1, sum(attempts.values()))
    return {vantage: max(2, together * own // whole) for vantage, own in attempts.items()} if together else {}
