"""What one node knows of a pod's readiness: answers counted against the thresholds, and when to ask next. Pure.

The rules are core/v1's Probe and those of the kubelet's prober: a pod is not ready until it has answered
``success_threshold`` times in a row, and then stays ready until it failed ``failure_threshold`` times in a row. One
rule stands for the kubelet's watch over containers, which needs no probe: where nobody listens any more, the pod's
process is gone, and no threshold is waited for (docs/decisions/0009-readiness.md).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import NamedTuple

from nodeportd.checks import Check

SOON = 0.1
"""Seconds until a pod that just came is asked again, doubled each time up to its period. Core/v1 allows it: a readiness
probe may run at other times than its period while the pod is not ready, "to make the pod ready faster"."""

AWAY = 1.0
"""Seconds, at most, until a pod that is not ready and was silent is asked again: its node may have come back."""


class Answer(NamedTuple):
    """What came of one attempt: ``fault`` says why it failed, empty when it did not.

    ``gone``: nobody listens there; ``silent``: there was no answer at all, as from a node that is off.
    """

    fault: str = ""
    gone: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One pod as this node sees it; times are seconds of one clock that never goes back.

    ``due`` is when the next attempt starts, ``run`` how many answers like the last one (``good``) came in a row.
    ``since`` is when it became ready or not ready, ``why`` the fault of the last attempt that had one. ``coming``:
    it was not ready yet since it came or was gone.
    """

    check: Check
    due: float
    ready: bool = False
    good: bool = False
    run: int = 0
    since: float = 0.0
    why: str = "not asked yet"
    coming: bool = True


def first(check: Check, now: float) -> Record:
    """A pod never asked before: it is not ready, and asked as soon as its initial delay allows."""
    return Record(check, now + check.initial_delay_seconds, since=now)


def known(check: Check, now: float, before: Record) -> Record:
    """A pod that was known, with another check or to an earlier process of this program: it is what it was."""
    good = before.ready or before.good
    return replace(before, check=check, due=now + _share(check), good=good, run=0)


def answered(record: Record, answer: Answer, now: float) -> Record:
    """The record after one attempt; attempts that were late are not made up for."""
    check, good = record.check, not answer.fault
    run = record.run + 1 if good == record.good else 1
    enough = answer.gone or run >= (check.success_threshold if good else check.failure_threshold)
    ready = good if enough else record.ready
    coming = not ready and (record.coming or answer.gone)
    hurry = _hurry(answer, run, ready, coming)
    return replace(
        record,
        ready=ready,
        good=good,
        run=run,
        coming=coming,
        since=record.since if ready == record.ready else now,
        why=answer.fault or record.why,
        due=now + min(check.period_seconds, hurry) if hurry else _next(record, now),
    )


def _hurry(answer: Answer, run: int, ready: bool, coming: bool) -> float:
    """Seconds within which a pod that is not ready is asked again; 0 when its period is soon enough."""
    if ready or not answer.fault:
        return 0.0
    return SOON * 2.0 ** min(run - 1, 20) if coming else AWAY * answer.silent


def _next(record: Record, now: float) -> float:
    period = record.check.period_seconds
    if record.coming:
        return now + _share(record.check)  # from here on, attempts of many pods are spread over the period
    missed = max(0, int((now - record.due) // period))
    return record.due + (missed + 1) * period


def _share(check: Check) -> float:
    """A part of the period that belongs to the pod, always the same."""
    return check.period_seconds * (zlib.crc32(check.key.encode()) % 1000 + 1) / 1000
