"""A plan as JSON, so that the next run can start from it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.errors import PlanError
from harness.model.plan import Plan

VERSION = 1
"""Grows whenever the shape of :class:`Plan` changes so that an older file cannot be read any more."""


@dataclass(frozen=True, slots=True)
class _Header:
    version: int


@dataclass(frozen=True, slots=True)
class _Document:
    version: int
    plan: Plan


def dumps(plan: Plan) -> str:
    """The plan as indented JSON, ending with a newline."""
    raw = msgspec.json.encode(_Document(VERSION, plan))
    return msgspec.json.format(raw, indent=1).decode() + "\n"


def loads(text: str) -> Plan:
    """The plan that :func:`dumps` wrote.

    Raises :class:`PlanError` when it is no such text, or one of another version.
    """
    try:
        version = msgspec.json.decode(text, type=_Header).version
        if version == VERSION:
            return msgspec.json.decode(text, type=_Document).plan
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise PlanError(f"the kept plan cannot be read: {error}", hint=_HINT) from None
    raise PlanError(f"the kept plan has version {version}, this harness reads version {VERSION}", hint=_HINT)


_HINT = "`harness down` removes the lab and its plan; then begin anew with `harness up`"
