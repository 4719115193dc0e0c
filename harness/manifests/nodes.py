"""One YAML document as nodes that know their line."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """A YAML node: ``tag`` is ``str``, ``int``, ``float``, ``bool``, ``null``, ``map`` or ``seq``; lines count from 1.

    ``fields`` are those of a mapping, ``key_lines`` the lines where their names are written, ``items`` those of a
    list, ``text`` is a scalar's. ``weight`` is the number of nodes in it, aliases counted as often as they are used.
    """

    tag: str
    line: int
    text: str = ""
    items: list[Node] = field(default_factory=list)
    fields: dict[str, Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)
    weight: int = 1

    def line_of(self, name: str) -> int:
        """The line of a field: a scalar's own, else that of its name; the mapping's when it is not there."""
        if name not in self.fields:
            return self.line
        value = self.fields[name]
        return value.line if value.text else self.key_lines[name]
