"""What was asked of a lab last: the objects that were applied, with what verbs changed since, and how far it got."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.errors import RigError
from harness.model.workload import Workload

VERSION = 1


@dataclass(frozen=True, slots=True)
class Intent:
    """``settled``: every node is known to run the kept plan; not so while it is changed, or when that broke off."""

    workload: Workload
    settled: bool
    version: int = VERSION


def dumps(intent: Intent) -> str:
    """The intent as JSON."""
    return msgspec.json.encode(intent).decode() + "\n"


def loads(text: str) -> Intent:
    """The intent that :func:`dumps` wrote.

    Raises :class:`RigError` when it is no such text.
    """
    try:
        found = msgspec.json.decode(text, type=Intent)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RigError(f"what was applied last cannot be read: {error}", hint="harness apply -f PATH") from None
    if found.version != VERSION:
        raise RigError(f"what was applied last has version {found.version}", hint="harness apply -f PATH")
    return found
