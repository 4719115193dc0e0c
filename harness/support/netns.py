"""The one door to named network namespaces (ip-netns(8)).

The first ``ip netns add`` on a machine mounts the folder of the names onto itself, and ``ip netns delete`` never
undoes that. Here the mount is remembered when it was ours, and goes with the last name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from harness.support import clock, process

FOLDER = Path("/run/netns")
_MOUNT_IS_OURS = Path("/run/nodeport-harness.netns")


def add(name: str) -> None:
    """Make the namespace ``name``.

    Raises :class:`RigError` when it cannot be made, or is there already.
    """
    with _alone():
        if not _mounted():
            _MOUNT_IS_OURS.touch()
        process.check(["ip", "netns", "add", name], what=f"making the network namespace {name}")


def delete(name: str) -> None:
    """Remove the namespace ``name``, if it is there, and the mount of the folder with the last one, if it was ours.

    What still runs in the namespace keeps it alive, but without its name.

    Raises :class:`RigError` when it cannot be removed.
    """
    with _alone():
        if (FOLDER / name).exists():
            process.check(["ip", "netns", "delete", name], what=f"removing the network namespace {name}")
        if _MOUNT_IS_OURS.exists() and not any(FOLDER.glob("*")):
            _remove_mount()


@contextlib.contextmanager
def added(*names: str) -> Iterator[None]:
    """Namespaces for as long as the block lasts.

    Raises :class:`RigError` when one cannot be made or removed.
    """
    with contextlib.ExitStack() as undo:
        for name in names:
            add(name)
            undo.callback(delete, name)
        yield


def _remove_mount() -> None:
    if _mounted():
        process.check(["umount", FOLDER], what=f"removing the mount of {FOLDER}")
        FOLDER.rmdir()
    _MOUNT_IS_OURS.unlink()


def _mounted() -> bool:
    """Whether the folder is a mount; proc(5), mountinfo: the fifth field is the mount point."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return any(mount.split()[4] == str(FOLDER) for mount in mounts)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time on this machine; the lock is on a folder, so that it leaves no file."""
    handle = os.open(FOLDER.parent, os.O_RDONLY)
    try:
        clock.until(lambda: _lock(handle), what=f"the lock on {FOLDER.parent}", within=30)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise clock.NotYet("another lab holds it") from None
