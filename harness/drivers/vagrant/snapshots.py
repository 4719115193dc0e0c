"""Whole states of the machines: an internal snapshot of each disk, all taken while none of them runs.

libvirt's snapshot of a running machine has its memory too. It is not used: a restore cuts the power and boots from
the disk, as with the other drivers (docs/decisions/0008). A snapshot counts from the moment that its folder in the
lab's home has its name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.drivers import Place, Snapshot
from harness.drivers.vagrant import domains
from harness.errors import DriverError, UsageError
from harness.support import clock, interrupts
from harness.support.files import write_atomic


def save(folder: Path, place: Place, names: Sequence[str], name: str) -> Snapshot:
    """Keep the disks of the machines ``names`` and the lab's record; the machines run on.

    Raises :class:`UsageError` when the name is taken, :class:`DriverError`; nothing is kept then.
    """
    if (_folder(place.home) / name).exists():
        raise UsageError(f"there is a snapshot {name!r} already", hint=f"harness snapshot delete {name}")
    made = Snapshot(name, clock.now().isoformat(timespec="seconds"), tuple(names))
    partial = _folder(place.home) / f".{name}.part"
    shutil.rmtree(partial, ignore_errors=True)
    with interrupts.held():
        _drop(folder, names, name)  # of a call that was cut off
        try:
            domains.each(folder, names, ("suspend", "{}"))
            domains.each(folder, names, ("snapshot-create-as", "{}", name))
            partial.mkdir(parents=True)
            for file in (file for file in place.record if file.exists()):
                shutil.copyfile(file, partial / file.name)
            write_atomic(partial / "kept.json", json.dumps({"taken": made.taken, "nodes": names}))
            partial.rename(_folder(place.home) / name)
        except (DriverError, OSError) as error:
            _drop(folder, names, name)
            raise DriverError(f"the snapshot could not be kept: {error}",
                              hint="the machines run on; is the disk full?") from error  # fmt: skip
        finally:
            for one in names:
                domains.virsh("resume", domains.prefix(folder) + one)
            shutil.rmtree(partial, ignore_errors=True)
    return made


def restore(folder: Path, place: Place, name: str) -> None:
    """Cut the power of all machines, put the kept disks and record back, and have the machines boot.

    Called again after it was cut off it does the same anew. Raises :class:`UsageError`, :class:`DriverError`.
    """
    kept = _existing(place.home, name)
    with interrupts.held():
        domains.each(
            folder,
            kept.nodes,
            ("snapshot-revert", "{}", name, "--paused", "--force"),
            ("reset", "{}"),  # so that nothing of the kept memory ever runs
            ("resume", "{}"),
        )
        for file in place.record:
            source = _folder(place.home) / name / file.name
            if source.exists():
                write_atomic(file, source.read_text(encoding="utf-8"))
            else:
                file.unlink(missing_ok=True)


def known(home: Path) -> Sequence[Snapshot]:
    """The snapshots of the lab, oldest first."""
    names = [path.name for path in _folder(home).glob("*") if not path.name.startswith(".")]
    return sorted((_existing(home, name) for name in names), key=lambda snapshot: (snapshot.taken, snapshot.name))


def delete(folder: Path, home: Path, name: str) -> None:
    """Forget a snapshot.

    Raises :class:`UsageError` for a name that is not there.
    """
    kept = _existing(home, name)
    with interrupts.held():
        shutil.rmtree(_folder(home) / name)
        _drop(folder, kept.nodes, name)


def forget(home: Path) -> None:
    """The machines are gone, and their snapshots with them."""
    shutil.rmtree(_folder(home), ignore_errors=True)


def _drop(folder: Path, names: Sequence[str], name: str) -> None:
    for one in names:
        domains.virsh("snapshot-delete", domains.prefix(folder) + one, name)


def _folder(home: Path) -> Path:
    return home / "snapshots"


def _existing(home: Path, name: str) -> Snapshot:
    folder = _folder(home) / name
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in _folder(home).glob("[!.]*"))) or "none"
        raise UsageError(f"there is no snapshot {name!r}", hint=f"known snapshots: {there}")
    try:
        kept = json.loads((folder / "kept.json").read_text(encoding="utf-8"))
        return Snapshot(name, str(kept["taken"]), tuple(kept["nodes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DriverError(
            f"the snapshot {name!r} is damaged: {error}", hint=f"harness snapshot delete {name}"
        ) from error
