"""What was seen, judged: a verdict carries its evidence, a diagnosis names node, pod and cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Evidence = Mapping[str, object]
"""Counts, n, statistic, p, smallest visible skew, seed …: JSON values only."""


class Status(StrEnum):
    """The verdict algebra, best first: the worst status of a run decides its exit code."""

    PASS = "PASS"  # noqa: S105 - a status, not a password
    SKIP = "SKIP"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    ERROR = "ERROR"

    @property
    def exit_code(self) -> int:
        """0 pass or skip, 3 inconclusive, 1 fail, 4 error."""
        return {"PASS": 0, "SKIP": 0, "INCONCLUSIVE": 3, "FAIL": 1, "ERROR": 4}[self.value]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check on one node, from one vantage point, for one Service port.

    ``check`` is the name of the check (``answers``, ``coverage``, ``spread``, ``refused``, ``node-state`` …),
    ``subject`` what it was asked of (``outside → n1, default/web-service 80 on 30008/TCP``), ``summary``
    one line for a person.
    """

    check: str
    subject: str
    status: Status
    summary: str
    node: str = ""
    vantage: str = ""
    service: str = ""
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The most likely cause of a group of failures: which node, which pod, why, and how to see it for oneself.

    ``cause`` is a short stable name (``endpoint-dead``, ``rule-missing`` …), ``title`` one line, ``text`` one
    paragraph. ``node`` and ``pod`` (a pod key) are empty when the cause is not about one of them.
    """

    cause: str
    title: str
    text: str
    node: str = ""
    pod: str = ""


def worst(statuses: list[Status]) -> Status:
    """The worst of some statuses: a skipped check spoils nothing, so only when all were skipped it is SKIP."""
    order = (Status.SKIP, Status.PASS, Status.INCONCLUSIVE, Status.FAIL, Status.ERROR)
    return max(statuses, key=order.index, default=Status.PASS)
