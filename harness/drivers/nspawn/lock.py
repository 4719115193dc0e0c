"""One change of a lab at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from harness.drivers.nspawn.names import LABS, Names
from harness.errors import DriverError
from harness.support import clock

_PATIENCE = 5.0
"""Seconds for what a killed harness had just started: until it runs its own program it holds what was locked."""


@contextmanager
def alone(names: Names, lab: str) -> Iterator[None]:
    """Hold the lab for one change.

    Raises :class:`DriverError`, naming the process, when another one is at it.
    """
    what = f"lab {lab!r} to be free"
    with clock.until(lambda: _hold(names, lab), what=what, within=_PATIENCE, failure=DriverError) as lock:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def forget(names: Names) -> None:
    """Remove the lock of a lab that is gone, while it is held, and the folders of labs when none is left."""
    names.lock.unlink(missing_ok=True)
    for folder in (LABS, LABS.parent):
        try:
            folder.rmdir()
        except OSError:
            return  # other labs


def _hold(names: Names, lab: str) -> IO[str]:
    try:
        LABS.mkdir(parents=True, exist_ok=True)
        lock = names.lock.open("a+")
    except FileNotFoundError:
        raise clock.NotYet("the last other lab goes, and its folders with it") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with lock:
            _refuse(lock, lab)
    with contextlib.suppress(FileNotFoundError):
        if names.lock.stat().st_ino == os.fstat(lock.fileno()).st_ino:
            return lock
    lock.close()
    raise clock.NotYet("its former nodes went just now, and the lock with them")


def _refuse(lock: IO[str], lab: str) -> NoReturn:
    """Say who holds the lab; when that process is dead, its lock will go."""
    lock.seek(0)
    holder = lock.read().strip()
    if holder and Path("/proc", holder).exists():
        raise DriverError(
            f"lab {lab!r} is being changed by another harness, process {holder}", hint="wait for it to end"
        )
    raise clock.NotYet(f"held by what is left of process {holder or '?'}")
