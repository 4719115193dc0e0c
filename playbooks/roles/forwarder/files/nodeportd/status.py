"""What nodeportd tells of itself: ``status.json``, for Ansible, for people, and for its own next start."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeportd import health
from nodeportd.checks import Check
from nodeportd.health import Record
from nodeportd.state import State

VERSION = 1


def of(running: State, records: Mapping[str, Record], applied_at: str, error: str) -> dict[str, Any]:
    """The status: what is in force since when, which checked pods are ready, and why the others are not."""
    return {
        "version": VERSION,
        "backend": running.backend,
        "generation": running.generation,
        "services": len(running.services),
        "endpoints": sum(len(port.endpoints) for service in running.services for port in service.ports),
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


def remembered(path: Path, checks: Iterable[Check], now: float) -> dict[str, Record]:
    """What an earlier process of this machine's run knew of the pods, so that a restart changes nothing.

    A pod that it did not know, or knew only as coming, is left out. A status that cannot be read tells nothing.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        were_not = {pod: (float(each["since"]), str(each["why"])) for pod, each in said["unready"].items()
                    if each["coming"] is False}  # fmt: skip
        were_ready = frozenset(said["ready"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    asked = {check.pod: health.first(check, now) for check in checks}
    return {
        **{pod: replace(asked[pod], ready=True, coming=False) for pod in were_ready & asked.keys()},
        **{pod: replace(asked[pod], since=since, why=why, coming=False)
           for pod, (since, why) in were_not.items() if pod in asked},
    }  # fmt: skip
