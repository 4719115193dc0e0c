"""A node's disk: the folder with what it wrote over its Debian root, and a label that says that it is whole.

::

    labs/<id>/<node>/upper/       what the node wrote
                     work/        overlayfs's own
                     merged/      where the node sees both
                     disk.json    the label, written last
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.support.files import write_atomic

_LABEL = "disk.json"
_HOST_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Label:
    """Which Debian root a disk lies on, and in which boot of the host it was written (random(4), boot_id)."""

    root: str
    host_boot: str


def finish(folder: Path, root: Path) -> None:
    """Label the disk in ``folder``, whose ``upper`` is complete now."""
    for name in ("work", "merged"):
        (folder / name).mkdir()
    label = Label(str(root), _HOST_BOOT.read_text().strip())
    write_atomic(folder / _LABEL, msgspec.json.encode(label).decode())


def remove(folder: Path) -> None:
    """Remove a disk, its label first: what is cut off here must not be taken for a whole one."""
    (folder / _LABEL).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def root(folder: Path) -> Path:
    """The Debian root on which a whole disk lies."""
    label = _label(folder)
    assert label is not None  # noqa: S101 - asked of whole disks only
    return Path(label.root)


def whole(folder: Path) -> bool:
    """Whether a node can boot from this disk.

    One that an earlier boot of the host wrote does not count: nothing made sure that it reached the platters
    (docs/decisions/0005-volatile-overlays.md).
    """
    label = _label(folder)
    return label is not None and label.host_boot == _HOST_BOOT.read_text().strip() and Path(label.root).is_dir()


def _label(folder: Path) -> Label | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / _LABEL).read_bytes(), type=Label)
    return None
