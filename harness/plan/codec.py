"""A plan as JSON, so that the next run can start from it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.errors import PlanError
from harness.model.plan import Plan
from harness.model.workload import Workload

VERSION = 1
"""Grows whenever the shape of :class:`Plan` changes so that an older file cannot be read any more."""


@dataclass(frozen=True, slots=True)
class _Header:
    version: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A plan, and the objects that it was made of, with what verbs such as ``scale`` changed since (``None``: unknown).

    ``settled``: every node is known to run it; not so while it is brought to them, or when that broke off. ``failed``:
    it broke off because a node could not run it.
    """

    version: int
    plan: Plan
    workload: Workload | None = None
    settled: bool = True
    failed: bool = False


def dumps(plan: Plan, workload: Workload | None = None, *, settled: bool = True, failed: bool = False) -> str:
    """What is kept as indented JSON, ending with a newline."""
    raw = msgspec.json.encode(Kept(VERSION, plan, workload, settled, failed))
    return msgspec.json.format(raw, indent=1).decode() + "\n"


def loads(text: str) -> Kept:
    """What :func:`dumps` wrote.

    Raises :class:`PlanError` when it is no such text, or one of another version.
    """
    try:
        version = msgspec.json.decode(text, type=_Header).version
        if version == VERSION:
            return msgspec.json.decode(text, type=Kept)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise PlanError(f"the kept plan cannot be read: {error}", hint=_HINT) from None
    raise PlanError(f"the kept plan has version {version}, this harness reads version {VERSION}", hint=_HINT)


_HINT = "`harness down` removes the lab and its plan; then begin anew with `harness up`"
