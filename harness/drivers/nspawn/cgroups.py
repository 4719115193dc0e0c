"""A control group for each node, in which all that runs in it can be found and killed.

Without one, systemd-nspawn would put every node's systemd into the caller's own group (it is told to keep its
"unit"), where three systemd would share one ``system.slice`` and end each other's services. Kernel:
Documentation/admin-guide/cgroup-v2.rst; hosts with the older hierarchies work as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.drivers.nspawn.names import Names
from harness.errors import DriverError
from harness.support import clock, process

_FREEZE = Path(__file__).with_name("freeze.sh")
_MOUNT = Path("/sys/fs/cgroup")
_OURS = "nodeport-harness"


def hierarchies() -> tuple[Path, ...]:
    """The hierarchies in which systemd keeps its services: the unified one, or systemd's own besides or instead."""
    if (_MOUNT / "cgroup.procs").exists():
        return (_MOUNT,)
    return tuple(path for path in (_MOUNT / "unified", _MOUNT / "systemd") if (path / "cgroup.procs").exists())


def make(machine: str) -> tuple[Path, ...]:
    """The groups of a machine, one in each hierarchy, made where they are missing.

    Raises :class:`DriverError` when they cannot be made.
    """
    groups = tuple(hierarchy / _OURS / machine for hierarchy in hierarchies())
    try:
        for group in groups:
            (group / "machine").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DriverError(f"no control group for {machine}: {error}", hint="`harness doctor`") from error
    if not groups:
        raise DriverError(f"no control groups are mounted on {_MOUNT}", hint="`harness doctor`")
    return groups


def machines(names: Names) -> set[str]:
    """The machines of a lab that have a group."""
    prefix = names.machine("")
    return {path.name for hierarchy in hierarchies() for path in (hierarchy / _OURS).glob(f"{prefix}*")}


def processes(machines: Iterable[str]) -> Iterator[int]:
    """The processes in the groups of these machines."""
    for group in _groups(machines):
        for members in group.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                yield from (int(word) for word in members.read_text().split())


def kill(machines: Iterable[str]) -> None:
    """Kill all that is in the groups of these machines at once, where the kernel can (cgroup.kill, Linux 5.14)."""
    for group in _groups(machines):
        with contextlib.suppress(OSError):
            if (group / "cgroup.kill").exists():
                (group / "cgroup.kill").write_text("1")


@contextmanager
def frozen(machines: Collection[str]) -> Iterator[None]:
    """Hold all processes of these machines still, at one moment (cgroup.freeze, Linux 5.2).

    A helper does it, which lets go as soon as this process leaves or ends, however that comes.

    Raises :class:`DriverError` when they cannot be held.
    """
    groups = [group for group in _groups(machines) if (group / "cgroup.freeze").exists()]
    if len(groups) < len(machines):
        raise DriverError(
            "the control groups of this machine cannot hold a node still",
            hint="mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, then `harness down` and `harness up`",
        )

    def still() -> None:
        if moving := [group.name for group in groups if "frozen 1" not in (group / "cgroup.events").read_text()]:
            raise clock.NotYet(f"{', '.join(moving)} run")

    holder = process.start(["sh", _FREEZE, *groups], stdin=process.PIPE)
    try:
        clock.until(still, what="the nodes to hold still", within=10, every=0.005, failure=DriverError)
        yield
    finally:
        assert holder.stdin is not None  # noqa: S101 - a pipe, as asked for
        holder.stdin.close()
        try:
            clock.until(lambda: _ended(holder), what="the nodes to be let go", within=10, every=0.005)
        finally:
            process.end_group(holder)
            thaw(machines)


def _ended(holder: process.Process[bytes]) -> None:
    if holder.poll() is None:
        raise clock.NotYet("their holder runs")


def thaw(machines: Collection[str]) -> None:
    """Let go of machines that are held still though nobody holds them any more."""
    for group in _groups(machines):
        with contextlib.suppress(OSError):
            if (group / "cgroup.freeze").exists():
                (group / "cgroup.freeze").write_text("0")


def remove(machines: Iterable[str]) -> None:
    """Remove the groups of these machines, which are empty, and what held them when it is empty too."""
    for group in _groups(machines):
        inner = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
        for folder in (*inner, group):
            with contextlib.suppress(OSError):
                folder.rmdir()
    for hierarchy in hierarchies():
        with contextlib.suppress(OSError):
            (hierarchy / _OURS).rmdir()


def _groups(machines: Iterable[str]) -> list[Path]:
    return [group for name in machines for hierarchy in hierarchies() if (group := hierarchy / _OURS / name).is_dir()]
