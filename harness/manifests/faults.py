"""Faults of one file as they are found, and text out of manifests made fit to be shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.errors import Fault

MOST_FAULTS = 100
"""So many faults of one file are shown; then reading it stops."""


@dataclass(slots=True)
class Faults:
    """The faults of one file, each once, however often an alias repeats it.

    ``more`` is not 0 when there are more than are shown; then it is the line of one of them.
    """

    file: str
    found: dict[Fault, None] = field(default_factory=dict)
    more: int = 0

    def add(self, line: int, path: str, reason: str, hint: str = "") -> None:
        """Note a fault in a line (from 1), of a field (empty: of no field in particular)."""
        fault = Fault(self.file, line, path, reason, hint)
        if len(self.found) < MOST_FAULTS:
            self.found[fault] = None
        elif fault not in self.found:
            self.more = max(self.more, line)

    def all(self) -> list[Fault]:
        """Every fault that is shown."""
        shown = list(self.found)
        if self.more:
            last = max(self.more, *(fault.line for fault in shown))
            shown.append(Fault(self.file, last, "", f"and more: only {MOST_FAULTS} faults of a file are shown"))
        return shown


def quoted(text: str, most: int = 40) -> str:
    """Text out of a manifest, fit to be shown: cut short, control characters escaped."""
    text = text.strip()
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def joined(path: str, name: str) -> str:
    """The path of a field within another; a name that is no plain word is quoted in brackets."""
    if not name.isascii() or not name.replace("_", "").replace("-", "").isalnum() or len(name) > 63:
        return f"{path}[{quoted(name, 63)}]"
    return f"{path}.{name}" if path else name
