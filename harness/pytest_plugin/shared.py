"""What the processes of pytest sessions tell each other of one lab, in its ``pytest.json``.

A session of xdist has many processes, and a second session may use the same nodes. A session that was killed leaves
its entry, which the next one finds dead: it then answers for the nodes that the dead one made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from harness.errors import RigError
from harness.model.verdict import Verdict
from harness.support import clock
from harness.support.files import write_atomic

PATIENCE = 1800.0
"""Seconds that a process waits for another one that makes nodes, gives them their manifests or surveys them."""


@dataclass(slots=True)
class Session:
    """One session: its first process (id, and when it began: ids are used again), and how far it has got."""

    pid: int
    began: str
    ready: bool = False
    broken: str = ""
    verdicts: tuple[Verdict, ...] | None = None


@dataclass(slots=True)
class Record:
    """The sessions that live, by name; whether such a session made the nodes, by which driver, and their ``uid``."""

    sessions: dict[str, Session] = field(default_factory=dict)
    made: bool = False
    driver: str = ""
    uid: str = ""


def began(pid: int) -> str:
    """When a process began (proc_pid_stat(5), field 22); empty when there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


@contextmanager
def record(home: Path) -> Iterator[Record]:
    """The record of a lab, held by this process alone; what was changed in it is kept, also when an error ends it.

    Raises :class:`RigError` when another process holds it for longer than :data:`PATIENCE`.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "pytest.lock").open("a+") as lock:
        clock.until(lambda: _hold(lock), what="the other processes of this pytest session", within=PATIENCE, every=0.1,
                    failure=RigError)  # fmt: skip
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        found = _read(home / "pytest.json")
        found.sessions = {name: one for name, one in found.sessions.items() if one.began == began(one.pid)}
        try:
            yield found
        finally:
            keep(home, found)


def keep(home: Path, found: Record) -> None:
    """Keep the record, or remove it when no session is left and there is nothing to answer for."""
    file = home / "pytest.json"
    if found.sessions or found.made:
        write_atomic(file, msgspec.json.encode(found).decode())
    else:
        file.unlink(missing_ok=True)


def _read(file: Path) -> Record:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return Record()


def _hold(lock: IO[str]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise clock.NotYet(f"process {lock.read().strip() or '?'} is at it") from None
