"""What one node knows of a pod's readiness: answers counted against the thresholds, and when to ask next. Pure.

The rules are core/v1's Probe and those of the kubelet's prober: a pod is not ready until it has answered
``success_threshold`` times in a row, and then stays ready until it failed ``failure_threshold`` times in a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nodeportd.checks import Check


@dataclass(frozen=True, slots=True)
class Record:
    """One pod as this node sees it; ``run`` is how many answers like the last one came in a row, ``due`` when the
    next attempt starts, in seconds of a monotonic clock."""

    check: Check
    due: float
    ready: bool = False
    good: bool = False
    run: int = 0


def first(check: Check, now: float, jitter: float) -> Record:
    """A pod never asked before; ``jitter`` in [0, 1) spreads the first attempts of many over one period."""
    return Record(check, now + check.initial_delay_seconds + jitter * check.period_seconds)


def answered(record: Record, good: bool, now: float) -> Record:
    """The record after one attempt; attempts that were late are not made up for."""
    check = record.check
    run = record.run + 1 if good == record.good else 1
    enough = run >= (check.success_threshold if good else check.failure_threshold)
    missed = max(0, int((now - record.due) // check.period_seconds))
    due = record.due + (missed + 1) * check.period_seconds
    return replace(record, due=due, ready=good if enough else record.ready, good=good, run=run)
