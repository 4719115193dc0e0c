"""What a lab remembers of its nodes between calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.drivers.nspawn.names import LABS, Names
from harness.model.cluster import Node
from harness.support.files import write_atomic


@dataclass(frozen=True, slots=True)
class LabState:
    """The nodes a lab shall have, written before they are made; ``ready`` once every one of them has answered.

    ``roots`` are the names of the Debian roots that the nodes' overlays lie on; ``restoring`` is the name of the
    snapshot that the nodes are being put back to.
    """

    uid: str
    home: str
    nodes: tuple[Node, ...]
    roots: tuple[str, ...] = ()
    ready: bool = False
    restoring: str = ""


def load(names: Names) -> LabState | None:
    """The state of the lab, ``None`` when there is none (or it cannot be read: then it is made anew)."""
    return load_from(names.folder)


def load_from(folder: Path) -> LabState | None:
    """The state that a folder keeps: the lab's own, or that of a snapshot."""
    return _read(folder / "lab.json")


def used_roots() -> set[str]:
    """The names of the Debian roots that the labs of this machine use."""
    files = (path for pattern in ("*/lab.json", "*/snapshots/*/lab.json") for path in LABS.glob(pattern))
    states = (_read(path) for path in files)
    return {name for state in states if state is not None for name in state.roots}


def _read(path: Path) -> LabState | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LabState)
    except (OSError, msgspec.DecodeError):
        return None


def save(names: Names, state: LabState) -> None:
    """Remember the state."""
    write_atomic(names.folder / "lab.json", msgspec.json.encode(state).decode())
