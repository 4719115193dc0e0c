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

    ``roots`` are the names of the Debian roots that the nodes' overlays lie on.
    """

    uid: str
    home: str
    nodes: tuple[Node, ...]
    roots: tuple[str, ...] = ()
    ready: bool = False


def load(names: Names) -> LabState | None:
    """The state of the lab, ``None`` when there is none (or it cannot be read: then it is made anew)."""
    return _read(names.folder / "lab.json")


def used_roots() -> set[str]:
    """The names of the Debian roots that the labs of this machine use."""
    states = (_read(path) for path in LABS.glob("*/lab.json"))
    return {name for state in states if state is not None for name in state.roots}


def _read(path: Path) -> LabState | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LabState)
    except (OSError, msgspec.DecodeError):
        return None


def save(names: Names, state: LabState) -> None:
    """Remember the state."""
    write_atomic(names.folder / "lab.json", msgspec.json.encode(state).decode())
