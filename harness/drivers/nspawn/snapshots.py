"""Kept states of a lab's nodes: their disks as they were at one moment, and the plan that they had been given.

::

    labs/<id>/snapshots/<name>/lab.json     which nodes, of which boot of the lab
                               kept.json    when it was taken; each disk's root and the digest of its archive
                               <node>.tar   what the node wrote over its root
                               plan.json …  the files that say what the nodes had been given, if there were any
              restoring/                    disks, and such files, that are to take the place of the present ones

To be cut off at any moment leaves the former state or the new one: a snapshot gets its name when all of it is on the
disk, and a restore counts from the moment that ``lab.json`` says ``restoring``; from then on it is carried through,
by the next ``up`` if need be.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from harness.drivers import Snapshot
from harness.drivers.nspawn import cgroups, disk, machine, state
from harness.drivers.nspawn.names import Names
from harness.drivers.nspawn.state import LabState
from harness.errors import DriverError, RigError, UsageError
from harness.support import clock, process
from harness.support.files import write_atomic

_TAR = ("tar", "--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner")
"""With all attributes, also those in which overlayfs keeps what is deleted (xattr(7), trusted)."""
_TAR_SECONDS = 300
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Disk:
    root: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Kept:
    taken: str
    disks: dict[str, _Disk]


def save(names: Names, known: LabState, record: Sequence[Path], name: str) -> Snapshot:
    """Keep the disks of all nodes as they are at one moment, and the files of ``record``; the nodes run on.

    Raises :class:`UsageError` when the name is taken, :class:`DriverError`.
    """
    target = _folder(names, name)
    if target.exists():
        raise UsageError(f"there is a snapshot {name!r} already", hint=f"harness snapshot delete {name}")
    partial = _condemned(names, name)
    _clear(names)
    partial.mkdir(parents=True)
    try:
        _archive(names, known, partial)
        for file in (file for file in record if file.exists()):
            shutil.copyfile(file, partial / file.name)
        disks = {node.name: _Disk(str(disk.root(names.folder / node.name)), _digest(partial / f"{node.name}.tar"))
                 for node in known.nodes}  # fmt: skip
        kept = _Kept(clock.now().isoformat(timespec="seconds"), disks)
        write_atomic(partial / "kept.json", msgspec.json.encode(kept).decode())
        write_atomic(partial / "lab.json", msgspec.json.encode(known).decode())
        for file in (*partial.iterdir(), partial):
            _to_platter(file)
        partial.rename(target)
        _to_platter(target.parent)
    except OSError as error:
        raise DriverError(
            f"the snapshot could not be kept: {error}", hint="the nodes run on; is the disk full?"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Snapshot(name, kept.taken, tuple(disks))


def _archive(names: Names, known: LabState, folder: Path) -> None:
    def archive(node: str) -> None:
        process.check([*_TAR, "--create", "--format=posix", "--sparse", f"--file={folder / node}.tar",
                       f"--directory={names.folder / node / 'upper'}", "."],
                      what=f"keeping the disk of {node}", timeout=_TAR_SECONDS)  # fmt: skip

    nodes = [node.name for node in known.nodes]
    try:
        with cgroups.frozen([names.machine(node) for node in nodes]), ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(archive, nodes))
    except RigError as error:
        raise DriverError(str(error), hint="the nodes run on; is the disk full?") from error


def known(names: Names) -> Sequence[Snapshot]:
    """The snapshots of the lab, oldest first."""
    folders = [path for path in (names.folder / "snapshots").glob("*") if not path.name.startswith(".")]
    found = [Snapshot(path.name, kept.taken, tuple(kept.disks)) for path in folders for kept in (_read(path),)]
    return sorted(found, key=lambda snapshot: (snapshot.taken, snapshot.name))


def delete(names: Names, name: str) -> None:
    """Forget a snapshot.

    Raises :class:`UsageError` for a name that is not there.
    """
    folder = _existing(names, name)
    _clear(names)
    folder.rename(_condemned(names, name))
    _clear(names)


def stage(names: Names, record: Sequence[Path], name: str) -> LabState:
    """Lay out the disks of a snapshot beside the present ones, which run on; returns the state of the lab it has.

    Raises :class:`UsageError` for a name that is not there, :class:`DriverError` for a snapshot that is not whole.
    """
    folder = _existing(names, name)
    kept = _read(folder)
    wanted = state.load_from(folder)
    if wanted is None:
        raise _damaged(name, "lab.json cannot be read")
    staged = names.folder / "restoring"
    shutil.rmtree(staged, ignore_errors=True)

    def lay_out(item: tuple[str, _Disk]) -> None:
        node, one = item
        if not Path(one.root).is_dir():
            raise _damaged(name, f"the Debian root {one.root} of {node} is gone")
        if _digest(folder / f"{node}.tar") != one.sha256:
            raise _damaged(name, f"the disk of {node} is not what was kept")
        upper = staged / node / "upper"
        upper.mkdir(parents=True)
        how = ("--extract", "--preserve-permissions", "--same-owner")
        process.check([*_TAR, *how, f"--file={folder / node}.tar", f"--directory={upper}"],
                      what=f"laying out the disk of {node}", timeout=_TAR_SECONDS)  # fmt: skip
        disk.finish(staged / node, Path(one.root))

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lay_out, kept.disks.items()))
        for file in (folder / file.name for file in record if (folder / file.name).exists()):
            shutil.copyfile(file, staged / file.name)
    except BaseException as error:
        shutil.rmtree(staged, ignore_errors=True)
        if isinstance(error, OSError | RigError) and not isinstance(error, DriverError):
            raise DriverError(str(error), hint="the nodes are as they were; is the disk full?") from error
        raise
    return wanted


def commit(names: Names, wanted: LabState, name: str) -> None:
    """From here on the lab is what the snapshot says; :func:`carry_through` makes it so."""
    state.save(names, replace(wanted, ready=False, restoring=name))


def carry_through(names: Names, record: Sequence[Path]) -> None:
    """Finish a restore that counts, and clear away one that does not; else do nothing. The nodes are then off.

    Raises :class:`DriverError` when a node does not stop.
    """
    staged = names.folder / "restoring"
    wanted = state.load(names)
    if wanted is not None and wanted.restoring:
        machine.halt(names, machine.present(names))
        for fresh in sorted(path for path in staged.glob("*") if path.is_dir()):
            disk.remove(names.folder / fresh.name)
            fresh.rename(names.folder / fresh.name)
        for file in record:
            if (staged / file.name).exists():
                write_atomic(file, (staged / file.name).read_text(encoding="utf-8"))
            else:
                file.unlink(missing_ok=True)
        state.save(names, replace(wanted, restoring=""))
    shutil.rmtree(staged, ignore_errors=True)


def _folder(names: Names, name: str) -> Path:
    return names.folder / "snapshots" / name


def _condemned(names: Names, name: str) -> Path:
    """What has no name yet, or none any more."""
    return names.folder / "snapshots" / f".{name}.part"


def _clear(names: Names) -> None:
    """Remove what calls that were cut off left."""
    for path in (names.folder / "snapshots").glob(".*.part"):
        shutil.rmtree(path, ignore_errors=True)


def _existing(names: Names, name: str) -> Path:
    folder = _folder(names, name)
    if not folder.exists():
        there = ", ".join(snapshot.name for snapshot in known(names)) or "none"
        raise UsageError(f"there is no snapshot {name!r}", hint=f"known snapshots: {there}")
    return folder


def _read(folder: Path) -> _Kept:
    try:
        return msgspec.json.decode((folder / "kept.json").read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError) as error:
        raise _damaged(folder.name, str(error)) from error


def _damaged(name: str, why: str) -> DriverError:
    return DriverError(f"the snapshot {name!r} is damaged: {why}", hint=f"harness snapshot delete {name}")


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _to_platter(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
