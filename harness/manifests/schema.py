"""The types of a whole object, to its last leaf, against the table of fields.

What the official schema (strict) refuses is refused here; this is stricter in what a person never means: ``null`` in
labels and lists, and numbers that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.manifests import scalars
from harness.manifests.faults import Faults, joined, quoted
from harness.manifests.fields import TYPES, Fields, FieldType
from harness.manifests.hints import meant, unknown
from harness.manifests.nodes import Node

_WORDS = {"map": "a mapping", "seq": "a list", "str": "a string", "int": "a whole number", "float": "a number",
          "bool": "true or false", "null": "empty"}  # fmt: skip
_TAGS = {
    "string": ("str",), "bool": ("bool",), "int32": ("int",), "int64": ("int",), "intstr": ("int", "str"),
    "quantity": ("int", "float", "str"), "object": ("map",),
}  # fmt: skip
_NEVER_NULL = ("intstr", "quantity")
"""Null is as good as not there, but for these the official schema refuses it."""
_EXPECTED = {"quantity": "a quantity such as 500m or 64Mi", "intstr": "a whole number or a name"}
_BITS = {"int32": 31, "intstr": 31, "int64": 63}


@dataclass(frozen=True, slots=True)
class Language:
    """A table of types, and the hint for a field that is unknown, of the types down to it and its path."""

    types: Mapping[str, Fields]
    hint: Callable[[str, tuple[str, ...], str], str]


KUBERNETES = Language(TYPES, unknown)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: its path, its line, and the types from the object's own down to the one it stands in."""

    path: str
    line: int
    language: Language
    types: tuple[str, ...] = ()

    def within(self, path: str, line: int, types: tuple[str, ...] | None = None) -> Place:
        """A place further in."""
        return Place(path, line, self.language, self.types if types is None else types)


def check(document: Node, kind: str, noted: Faults, language: Language = KUBERNETES) -> None:
    """Note every field of an object of this kind that is unknown, missing, or of a wrong type."""
    _object(document, kind, Place("", document.line, language), noted)


def _object(node: Node, kind: str, place: Place, noted: Faults) -> None:
    known = place.language.types[kind]
    types = (*place.types, kind)
    hints = set()
    for name, value in node.fields.items():
        if noted.more:
            return
        line = node.line_of(name)
        path = joined(place.path, name)
        if name not in known:
            hint = place.language.hint(name, types, place.path)
            hints.add(hint)
            noted.add(node.key_lines[name], path, "unknown field", hint)
        elif value.tag != "null" or known[name].of in _NEVER_NULL:
            _shaped(value, known[name], place.within(path, line, types), noted)
    for name, wanted in known.items():
        there = name in node.fields and node.fields[name].tag != "null"
        if wanted.required and not there and f"did you mean {name}?" not in hints:
            noted.add(node.line_of(name) if name in node.fields else place.line, joined(place.path, name), "is missing")


def _shaped(node: Node, wanted: FieldType, place: Place, noted: Faults) -> None:
    if wanted.shape == "one":
        _one(node, wanted.of, place, noted)
    elif wanted.shape == "list" and _is(node, "seq", place, noted):
        for number, item in enumerate(node.items):
            _one(item, wanted.of, place.within(f"{place.path}[{number}]", item.line), noted)
    elif wanted.shape == "map" and _is(node, "map", place, noted):
        for name, value in node.fields.items():
            _entry(name, value, wanted.of, place.within(joined(place.path, name), node.line_of(name)), noted)


def _entry(name: str, value: Node, of: str, place: Place, noted: Faults) -> None:
    if name in ("matchLabels", "matchExpressions") and value.tag in ("map", "seq"):
        noted.add(place.line, place.path, "does not belong here", "write the labels directly below selector")
    else:
        _one(value, of, place, noted)


def _one(node: Node, of: str, place: Place, noted: Faults) -> None:
    if of in place.language.types:
        if _is(node, "map", place, noted):
            _object(node, of, place, noted)
    elif node.tag not in _TAGS[of]:
        _wrong(node, _TAGS[of][0], place, noted, _EXPECTED.get(of, ""))
    elif node.tag == "int" and of in _BITS:
        _whole(node, of, place, noted)


def _whole(node: Node, of: str, place: Place, noted: Faults) -> None:
    value = scalars.whole(node.text)
    if value is None and len(node.text) < 19:
        noted.add(place.line, place.path, f"{quoted(node.text)} is no decimal number", "write it with digits alone")
    elif value is None or not -(2 ** _BITS[of]) <= value < 2 ** _BITS[of]:
        noted.add(place.line, place.path, f"{quoted(node.text)} is too large a number")


def _is(node: Node, tag: str, place: Place, noted: Faults) -> bool:
    if node.tag != tag:
        _wrong(node, tag, place, noted)
    return node.tag == tag


def _wrong(node: Node, tag: str, place: Place, noted: Faults, expected: str = "") -> None:
    if tag == "int" and node.tag == "float":
        noted.add(place.line, place.path, f"{quoted(node.text)} is not a whole number", "write it with digits alone")
        return
    shown = f" ({quoted(node.text)})" if node.text else ""
    reason = f"must be {expected or _WORDS[tag]}, not {_WORDS[node.tag]}{shown}"
    noted.add(place.line, place.path, reason, _mend(node, tag, place))


def _mend(node: Node, tag: str, place: Place) -> str:
    name = place.path.rpartition(".")[2]
    if node.tag == "null":
        return "write a value, or remove it"
    if tag == "str" and node.text:
        return f'quote it: "{node.text[:40]}"'
    if node.tag == "str" and tag == "int" and scalars.whole(node.text) is not None:
        return "remove the quotes"
    if node.tag == "str" and tag == "bool" and scalars.meaning(node.text) == "bool":
        return "remove the quotes"
    if tag == "seq":
        return f"begin each entry of {name} with '- '"
    if tag == "map" and node.tag == "str":
        return meant(node.text)
    if tag == "map" and node.tag == "seq":
        return f"{name} has its fields directly below it, without '- '"
    return ""
