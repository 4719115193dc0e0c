"""Cells that nobody may answer: refused, silent or closed, and whether what was seen is what was promised."""

from __future__ import annotations

from harness.model.observation import Outcome
from harness.model.workload import Protocol
from harness.verdicts.expectations import Cell, Depth
from harness.verdicts.tally import Counts

UNHEARD = (Depth.REFUSED, Depth.CLOSED, Depth.SILENT)
"""How a cell is judged that nobody may answer."""

ACTIVE_REFUSALS = (Outcome.REFUSED, Outcome.UNREACHABLE)
"""Outcomes by which a nodePort without endpoints keeps its promise: TCP RST or an ICMP error."""

UNANSWERED = (*ACTIVE_REFUSALS, Outcome.TIMEOUT)
"""Outcomes by which a closed port keeps its promise: no connection, in whichever way."""


def keeps_out(cell: Cell, counts: Counts) -> bool:
    """Whether attempts at such a cell, at least one, ended as promised."""
    if cell.depth is Depth.REFUSED:
        return refuses(counts)
    return stays_closed(counts) if cell.depth is Depth.CLOSED else stays_silent(cell, counts)


def refuses(counts: Counts) -> bool:
    """Whether a *set* of attempts was actively refused: ICMP errors are rate-limited, so one is enough."""
    return counts.answered == 0 and any(counts.failures.get(outcome) for outcome in ACTIVE_REFUSALS)


def stays_silent(cell: Cell, counts: Counts) -> bool:
    """Whether nothing at all came back: a firewall's *drop*, not a refusal.

    The kernel tells a sender on the node itself that its datagram was dropped on the way out (EPERM, send(2)).
    """
    told = cell.vantage == cell.node and cell.key.target.protocol is Protocol.UDP
    dropped = (Outcome.TIMEOUT, Outcome.UNREACHABLE) if told else (Outcome.TIMEOUT,)
    return sum(counts.failures.get(outcome, 0) for outcome in dropped) == counts.n


def stays_closed(counts: Counts) -> bool:
    """Whether nobody accepted a connection: refused or silent, both will do."""
    return counts.answered == 0 and counts.failed == sum(counts.failures.get(each, 0) for each in UNANSWERED)
