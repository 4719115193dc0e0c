"""Typed access to one mapping of an object whose types were checked: a value, or nothing when it is not there.

A field of a wrong type counts as not there, since :mod:`harness.manifests.schema` has noted it; so the readers of
kinds are left with the API's rules, and say nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from harness.manifests import quantity, scalars
from harness.manifests.faults import Faults, joined, quoted
from harness.manifests.hints import one_of
from harness.manifests.nodes import Node


@dataclass(frozen=True, slots=True)
class Reader:
    """One mapping: its node, its path within the object, its line, where faults go, and whether it is written."""

    node: Node
    path: str
    line: int
    faults: Faults
    there: bool = True

    def fault(self, name: str, reason: str, hint: str = "") -> None:
        """Note a fault of a field, in the field's line."""
        line = self.node.line_of(name) if name in self.node.fields else self.line
        self.faults.add(line, joined(self.path, name), reason, hint)

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return name in self.node.fields and self.node.fields[name].tag != "null"

    def empty(self, name: str) -> bool:
        """Whether a list is there without any entry."""
        node = self._tagged(name, "seq")
        return node is not None and not node.items

    def require(self, name: str, hint: str = "") -> None:
        """Note a fault when a field is not there, or an empty string; silent in a mapping that is not there itself."""
        if self.there and not self.has(name):
            self.fault(name, "is missing", hint)
        elif self.there and self._tagged(name, "str") and not self.text(name):
            self.fault(name, "is empty", hint)

    def text(self, name: str, check: Callable[[str], str] | None = None) -> str:
        """A string, empty when it is not there; ``check`` returns what is wrong with one that is, or nothing."""
        node = self._tagged(name, "str")
        if node is None or not node.text:
            return ""
        wrong = check(node.text) if check else ""
        if wrong:
            self.fault(name, wrong)
        return node.text

    def choice(self, name: str, known: Collection[str], default: str) -> str:
        """One of some words; any other is a fault."""
        value = self.text(name) or default
        if value not in known:
            self.fault(name, f"there is no {quoted(value)}", one_of(value, known))
            return default
        return value

    def integer(self, name: str, least: int = 0, most: int = 2**31 - 1) -> int | None:
        """A whole number; one out of bounds is a fault."""
        node = self._tagged(name, "int")
        value = scalars.whole(node.text) if node else None
        if value is None or (most < 2**31 and not -(2**31) <= value < 2**31):
            return None  # not there, or no number of that size, which is noted
        if not least <= value <= most:
            bounds = "must not be negative" if value < least == 0 else f"is not within {least}-{most}"
            self.fault(name, f"{value} {bounds}")
            return None
        return value

    def quantity(self, name: str) -> int | None:
        """A quantity as a whole number; one that cannot be read, or is negative, is a fault."""
        node = self.node.fields.get(name)
        if node is None or node.tag not in ("int", "float", "str"):
            return None
        value = quantity.whole(node.text)
        if value is None:
            self.fault(name, f"{quoted(node.text)} is no quantity", "write one such as 64Mi")
        elif value < 0:
            self.fault(name, f"{node.text} must not be negative")
        return None if value is None or value < 0 else value

    def true(self, name: str) -> bool:
        """Whether a field is there and true."""
        node = self._tagged(name, "bool")
        return node is not None and scalars.truth(node.text)

    def strings(self, name: str) -> tuple[str, ...]:
        """The strings of a list."""
        node = self._tagged(name, "seq")
        return tuple(item.text for item in node.items if item.tag == "str") if node else ()

    def string_map(self, name: str, check: Callable[[str, str], str]) -> dict[str, str]:
        """A mapping of strings, such as labels; ``check`` returns what is wrong with a pair, or nothing."""
        inner = self.mapping(name)
        pairs = {key: value.text for key, value in inner.node.fields.items() if value.tag == "str"}
        for key, value in pairs.items():
            wrong = check(key, value)
            if wrong:
                inner.fault(key, wrong)
        return pairs

    def mapping(self, name: str) -> Reader:
        """A mapping within this one; an empty one when it is not there."""
        line = self.node.line_of(name) if name in self.node.fields else self.line
        node, path = self._tagged(name, "map"), joined(self.path, name)
        if node is None:
            return Reader(Node("map", line), path, line, self.faults, there=False)
        return Reader(node, path, line, self.faults)

    def mappings(self, name: str) -> tuple[Reader, ...]:
        """The mappings of a list."""
        node = self._tagged(name, "seq")
        path = joined(self.path, name)
        return tuple(
            Reader(item, f"{path}[{number}]", item.line, self.faults)
            for number, item in enumerate(node.items if node else ())
            if item.tag == "map"
        )

    def _tagged(self, name: str, tag: str) -> Node | None:
        node = self.node.fields.get(name)
        return node if node is not None and node.tag == tag else None
