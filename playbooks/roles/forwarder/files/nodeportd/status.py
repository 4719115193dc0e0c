"""What nodeportd tells of itself: ``status.json``, for Ansible, for people, and for its own next start."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeportd import health
from nodeportd.checks import Check
from nodeportd.health import Record
from nodeportd.state import Service, State

VERSION = 1


def endpoints_of(services: Iterable[Service]) -> int:
    """How many endpoints the ports of these Services have."""
    return sum(len(port.endpoints) for service in services for port in service.ports)


def of(running: State, endpoints: int, records: Mapping[str, Record], applied_at: str, error: str) -> dict[str, Any]:
    """The status: what is in force since when, which checked pods are ready, and why the others are not.

    ``endpoints`` is what :func:`endpoints_of` says of ``running``: readiness does not change it.
    """
    return {
        "version": VERSION,
        "backend": running.backend,
        "generation": running.generation,
        "services": len(running.services),
        "endpoints": endpoints,
        "ready": [pod for pod, record in records.items() if record.ready],
        "unready": {
            pod: {"since": round(record.since, 3), "why": record.why, "coming": record.coming}
            for pod, record in records.items()
            if not record.ready
        },
        "applied_at": applied_at,
        "error": error,
    }


def unready(said: Mapping[str, Any]) -> Collection[str]:
    """The pods that are not ready, of a status; none when an older nodeportd wrote it."""
    return frozenset(said.get("unready", {}))


class Memory:
    """What an earlier process knew of the pods: a restart changes nothing.

    A status that cannot be read, or none, tells nothing.
    """

    def __init__(self, path: Path) -> None:
        self._ready: frozenset[str] = frozenset()
        self._unready: dict[str, tuple[float, str]] = {}
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            said = json.loads(path.read_text(encoding="utf-8"))
            unready = {pod: (float(each["since"]), str(each["why"])) for pod, each in said["unready"].items()
                       if each["coming"] is False}  # fmt: skip
            self._ready, self._unready = frozenset(said["ready"]), unready

    def of(self, checks: Iterable[Check], now: float) -> dict[str, Record]:
        """The records of pods with these checks; one that was not known, or only as coming, is left out."""
        asked = {check.key: health.first(check, now) for check in checks}
        return {
            **{pod: replace(asked[pod], ready=True, coming=False) for pod in self._ready & asked.keys()},
            **{pod: replace(asked[pod], since=since, why=why, coming=False)
               for pod, (since, why) in self._unready.items() if pod in asked},
        }  # fmt: skip
