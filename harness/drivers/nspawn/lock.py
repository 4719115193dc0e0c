"""One change of a lab at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from harness.drivers.nspawn.names import LABS, Names
from harness.errors import DriverError

_TRIES = 20


@contextmanager
def alone(names: Names, lab: str) -> Iterator[None]:
    """Hold the lab for one change.

    Raises :class:`DriverError`, naming the process, when another one is at it.
    """
    with _held(names, lab) as lock:
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


def _held(names: Names, lab: str) -> IO[str]:
    for _ in range(_TRIES):
        try:
            LABS.mkdir(parents=True, exist_ok=True)
            lock = names.lock.open("a+")
        except FileNotFoundError:  # the last other lab went, and its folders with it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            lock.close()
            raise DriverError(
                f"lab {lab!r} is being changed by another harness, process {holder}", hint="wait for it to end"
            ) from None
        if names.lock.exists() and names.lock.stat().st_ino == os.fstat(lock.fileno()).st_ino:
            return lock
        lock.close()  # the lock of a lab that went between our opening and locking it
    raise DriverError(f"lab {lab!r} comes and goes: its lock {names.lock} could not be had")
