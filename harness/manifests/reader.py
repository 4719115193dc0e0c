"""Typed reading of one object: every accessor gives a value of the right type, or notes a fault and goes on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from harness.errors import Fault
from harness.manifests.document import Node, quoted

_WORDS = {"map": "a mapping", "seq": "a list", "str": "a string", "int": "a whole number", "float": "a number",
          "bool": "true or false", "null": "empty", "timestamp": "a date"}  # fmt: skip


@dataclass(slots=True)
class Faults:
    """The faults of one file, as they are found."""

    file: str
    found: list[Fault] = field(default_factory=list)

    def add(self, line: int, path: str, reason: str, hint: str = "") -> None:
        """Note a fault."""
        self.found.append(Fault(self.file, line, path, reason, hint))


@dataclass(slots=True)
class Reader:
    """One mapping of a manifest: its fields by name, its path within the object, where its faults go."""

    node: Node
    path: str
    faults: Faults
    fields: dict[str, Node]

    @classmethod
    def of(cls, node: Node, path: str, faults: Faults) -> Reader:
        """A reader of a mapping; duplicate keys and keys that are no strings are faults."""
        fields: dict[str, Node] = {}
        for key, value in node.entries:
            where = _join(path, key.text)
            if key.tag == "merge":
                faults.add(key.line, path, "merge keys (<<) are not for manifests", "write the fields out")
            elif key.tag != "str":
                what = f"the key {quoted(key.text or _WORDS.get(key.tag, key.tag))} is not a string"
                faults.add(key.line, path, what, f'quote it: "{key.text[:40]}"' if key.text else "")
            elif key.text in fields:
                faults.add(key.line, where, "is there twice", f"first in line {fields[key.text].line}")
            else:
                fields[key.text] = value
        return cls(node, path, faults, fields)

    def at(self, name: str) -> str:
        """The path of a field."""
        return _join(self.path, name)

    def line(self, name: str) -> int:
        """The line of a field's value, or of the mapping when there is no such field."""
        return self.fields[name].line if name in self.fields else self.node.line

    def fault(self, name: str, reason: str, hint: str = "") -> None:
        """Note a fault of a field (of the mapping itself for an empty name)."""
        self.faults.add(self.line(name), self.at(name) if name else self.path, reason, hint)

    def only(self, known: Collection[str], elsewhere: Mapping[str, str] | None = None) -> None:
        """Note every field that is not known, with the nearest known name or the place where it belongs."""
        for name in self.fields:
            if name in known:
                continue
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(sorted(known)[:12])}"
            if elsewhere and name in elsewhere and (not nearest or nearest[0].lower() != name.lower()):
                hint = f"it belongs in {elsewhere[name]}"
            self.fault(name, "unknown field", hint)

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return name in self.fields and self.fields[name].tag != "null"

    def text(self, name: str, *, required: bool = False, check: Callable[[str], str] | None = None) -> str:
        """A string; empty when it is not there. ``check`` returns what is wrong with a value, or nothing."""
        node = self._typed(name, "str", required=required)
        if node is None:
            return ""
        wrong = check(node.text) if check else ""
        if wrong:
            self.fault(name, wrong)
            return ""
        return node.text

    def integer(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds; ``None`` when it is not there (or not right)."""
        node = self._typed(name, "int")
        if node is None:
            return None
        value = _whole(node.text)
        if value is None or not least <= value <= most:
            self.fault(name, f"{quoted(node.text)} is not within {least}-{most}")
            return None
        return value

    def boolean(self, name: str) -> bool | None:
        """True or false as Kubernetes reads it, which is not YAML 1.1's ``yes`` and ``on`` alone."""
        node = self._typed(name, "bool")
        return None if node is None else node.text.lower() in ("true", "yes", "on", "y")

    def choice(self, name: str, known: Collection[str], default: str) -> str:
        """One of some words."""
        value = self.text(name)
        if value and value not in known:
            nearest = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]}?" if nearest else f"one of {', '.join(known)}"
            self.fault(name, f"{quoted(value)} is not supported here", hint)
            return default
        return value or default

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        values = []
        for number, item in enumerate(self._items(name)):
            if item.tag == "str":
                values.append(item.text)
            else:
                self._wrong_type(item, f"{self.at(name)}[{number}]", "str")
        return tuple(values)

    def string_map(self, name: str, check: Callable[[str, str], str] | None = None) -> dict[str, str]:
        """A mapping of strings to strings, such as labels."""
        values: dict[str, str] = {}
        inner = self.mapping(name)
        for key, node in inner.fields.items() if inner else ():
            if node.tag != "str":
                self._wrong_type(node, _join(self.at(name), key), "str")
            elif wrong := check(key, node.text) if check else "":
                self.faults.add(node.line, _join(self.at(name), key), wrong)
            else:
                values[key] = node.text
        return values

    def mapping(self, name: str, *, required: bool = False) -> Reader | None:
        """A mapping within this one; ``None`` when it is not there."""
        node = self._typed(name, "map", required=required)
        return None if node is None else Reader.of(node, self.at(name), self.faults)

    def mappings(self, name: str, *, required: bool = False) -> Iterator[Reader]:
        """The mappings of a list."""
        if required and not self._items(name) and (not self.has(name) or self.fields[name].tag == "seq"):
            self.fault(name if self.has(name) else "", f"{name} must have at least one entry")
        for number, item in enumerate(self._items(name)):
            path = f"{self.at(name)}[{number}]"
            if item.tag == "map":
                yield Reader.of(item, path, self.faults)
            else:
                self._wrong_type(item, path, "map")

    def _items(self, name: str) -> list[Node]:
        node = self._typed(name, "seq") if self.has(name) and self.fields[name].tag == "seq" else None
        if node is None and self.has(name):
            self._wrong_type_once(name)
        return node.items if node else []

    def _wrong_type_once(self, name: str) -> None:
        self._typed(name, "seq")
        self.fields[name] = Node("null", self.fields[name].line)

    def _typed(self, name: str, tag: str, *, required: bool = False) -> Node | None:
        if not self.has(name):
            if required:
                self.fault("", f"{name} is missing")
            return None
        node = self.fields[name]
        if node.tag == tag:
            return node
        self._wrong_type(node, self.at(name), tag)
        return None

    def _wrong_type(self, node: Node, path: str, tag: str) -> None:
        shown = f" ({quoted(node.text)})" if node.text else ""
        hint = f'quote it: "{node.text[:40]}"' if tag == "str" and node.text else ""
        hint = (
            "remove the quotes"
            if tag in ("int", "bool") and node.tag == "str" and _whole(node.text) is not None
            else hint
        )
        reason = f"must be {_WORDS.get(tag, tag)}, not {_WORDS.get(node.tag, node.tag)}{shown}"
        self.faults.add(node.line, path, reason, hint)


def _join(path: str, name: str) -> str:
    shown = name if len(name) <= 63 else name[:62] + "…"
    shown = shown if shown.isprintable() else repr(shown)
    return f"{path}.{shown}" if path else shown


def _whole(text: str) -> int | None:
    """A decimal whole number; YAML 1.1's other notations (octal, 1_000, 1:30) are refused as too clever."""
    digits = text.removeprefix("-").removeprefix("+")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18 or (len(digits) > 1 and digits[0] == "0"):
        return None
    return int(text)
