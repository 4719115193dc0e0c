"""What a lab remembers of its nodes between calls."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.drivers.nspawn.names import Names
from harness.model.cluster import Node
from harness.support.files import write_atomic


@dataclass(frozen=True, slots=True)
class LabState:
    """The nodes a lab shall have; written before they are made, so that whatever was begun can be removed."""

    uid: str
    home: str
    nodes: tuple[Node, ...]


def load(names: Names) -> LabState | None:
    """The state of the lab, ``None`` when there is none (or it cannot be read: then it is made anew)."""
    try:
        return msgspec.json.decode((names.folder / "lab.json").read_bytes(), type=LabState)
    except (OSError, msgspec.DecodeError):
        return None


def save(names: Names, state: LabState) -> None:
    """Remember the state."""
    write_atomic(names.folder / "lab.json", msgspec.json.encode(state).decode())
