"""Machines short of CPU: what that may have made up, and what it cannot have.

A machine that gets no CPU answers late, though its data plane loses nothing. So a connect that took long counts for
nothing certain when three things come together: its *first* SYN was answered (after a lost one the ladder of RFC 6298
begins, and the round trip that the kernel measured lacks that second); most connects of the cell were quick (a way that
is slow is slow for all); and a machine that had part in it says that it was starved. Attempts that got no answer, or
by a second SYN only, are never excused.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.observation import OUTSIDE, Strain, pod_of
from harness.model.verdict import Status
from harness.verdicts.case import Case, twice
from harness.verdicts.expectations import Cell

PRESSURE = 0.5
"""The share of the time with somebody waiting for a CPU from which a machine is called starved."""


def explains(case: Case) -> bool:
    """Whether all that went wrong in a cell, twice, may have been made up by machines without CPU."""
    certain = twice(case, lambda counts: counts.failed + counts.late - counts.slow)
    return bool(case.starved) and certain is not Status.FAIL and 2 * case.both.slow < case.both.answered


def of(cell: Cell, strains: Mapping[str, Strain]) -> str:
    """Which machines that have part in a cell were starved, in words; empty when none was.

    The outside client's counts always: virtual machines run on it.
    """
    home = cell.home if pod_of(cell.vantage) else cell.vantage
    parties = dict.fromkeys([OUTSIDE, cell.vantage, home, cell.node, *(each.node for each in cell.endpoints)])
    said = [f"{name}: {_words(strains[name])}" for name in parties if name in strains and _words(strains[name])]
    return "; ".join(said)


def _words(strain: Strain) -> str:
    words = []
    if strain.pressure is not None and strain.pressure >= PRESSURE:
        words.append(f"somebody waited for a CPU {min(1.0, strain.pressure):.0%} of the time")
    if strain.stalls:
        words.append(f"the prober was held up {strain.stalls} times")
    return ", ".join(words)
