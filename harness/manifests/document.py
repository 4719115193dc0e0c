"""YAML text to nodes that know their line, within limits that no honest manifest reaches.

The tree is composed here, from PyYAML's events, because PyYAML's own composer has no limit: aliases that multiply
(“billion laughs”) or thousands of nested brackets would take all memory or the whole stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.resolver import Resolver

from harness.errors import Fault

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 60
MAX_NODES = 2_000_000
"""Nodes of one file, aliases counted as often as they are used."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = Resolver()
_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Node:
    """One YAML node: ``tag`` is ``str``, ``int``, ``bool``, ``null`` …, ``map`` or ``seq``; lines count from 1."""

    tag: str
    line: int
    text: str = ""
    items: list[Node] = field(default_factory=list)
    entries: list[tuple[Node, Node]] = field(default_factory=list)
    weight: int = 1


class Broken(Exception):
    """The text is no YAML that we take; ``fault`` says why."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def documents(file: str, data: bytes) -> Iterator[Node]:
    """The documents of one file, empty ones left out.

    Raises :class:`Broken` at the first place that is no YAML, or is beyond a limit.
    """
    text = _decode(file, data)
    composer = _Composer(file)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            document = composer.take(event)
            if document is not None and document.tag != "null":
                yield document
    except yaml.MarkedYAMLError as error:
        raise Broken(_syntax_fault(file, text, error)) from None
    except yaml.YAMLError as error:
        raise Broken(Fault(file, 1, "", f"not YAML: {' '.join(str(error).split())[:200]}")) from None


def _decode(file: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        size = f"{len(data) / 1024**2:.1f} MiB"
        raise Broken(
            Fault(file, 1, "", f"the file has {size}; at most {MAX_BYTES // 1024**2} MiB are read", "split it")
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Broken(Fault(file, 1, "", "the file is UTF-16", "save it as UTF-8"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Broken(Fault(file, line, "", "the file is not text in UTF-8", "is it the right file?")) from None
    for number, character in enumerate(text):
        if character < " " and character not in "\n\r\t":
            line = text.count("\n", 0, number) + 1
            raise Broken(Fault(file, line, "", f"the file has the control character {character!r}", "is it text?"))
    return text


class _Composer:
    """Puts events together to nodes; ``take`` returns a document when it is whole."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.stack: list[tuple[Node, str | None, list[Node]]] = []
        self.anchors: dict[str, Node] = {}
        self.open: set[str] = set()
        self.weight = 0

    def take(self, event: yaml.Event) -> Node | None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            self.anchors = {}
        elif isinstance(event, yaml.ScalarEvent):
            return self._add(self._scalar(event, line), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            return self._add(self._alias(event.anchor, line), None)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._begin(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            return self._end()
        return None

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Node:
        tag = event.tag
        if tag is None or tag == "!":
            tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
        return Node(self._plain_tag(tag, line), line, text=event.value)

    def _plain_tag(self, tag: str, line: int) -> str:
        if not tag.startswith(_TAG) or tag.startswith(f"{_TAG}python"):
            raise Broken(Fault(self.file, line, "", f"the tag {tag[:60]!r} is not for manifests", "remove it"))
        return tag.removeprefix(_TAG)

    def _alias(self, anchor: str | None, line: int) -> Node:
        if anchor in self.open:
            raise Broken(Fault(self.file, line, "", f"the alias *{anchor} contains itself"))
        if anchor is None or anchor not in self.anchors:
            raise Broken(Fault(self.file, line, "", f"there is no anchor &{anchor} for the alias *{anchor}"))
        return self.anchors[anchor]

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        tag = "map" if isinstance(event, yaml.MappingStartEvent) else "seq"
        if event.tag is not None:
            self._plain_tag(event.tag, line)
        if len(self.stack) >= MAX_DEPTH:
            raise Broken(Fault(self.file, line, "", f"nested deeper than {MAX_DEPTH} levels"))
        if event.anchor:
            self.open.add(event.anchor)
        self.stack.append((Node(tag, line), event.anchor, []))

    def _end(self) -> Node | None:
        node, anchor, children = self.stack.pop()
        node.weight = 1 + sum(child.weight for child in children)
        if node.tag == "map":
            node.entries = list(zip(children[::2], children[1::2], strict=True))
        else:
            node.items = children
        if anchor:
            self.open.discard(anchor)
        return self._add(node, anchor)

    def _add(self, node: Node, anchor: str | None) -> Node | None:
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.weight += node.weight
            return node
        children = self.stack[-1][2]
        children.append(node)
        if node.weight > MAX_NODES or self.weight + sum(child.weight for child in children[-1:]) > MAX_NODES:
            raise Broken(Fault(self.file, node.line, "", "aliases multiply to more nodes than any manifest has"))
        return None


def _syntax_fault(file: str, text: str, error: yaml.MarkedYAMLError) -> Fault:
    """A YAML error in the words of somebody who writes manifests; the line that is wrong, not where it was noticed."""
    mark = error.problem_mark or error.context_mark
    number = min(mark.line if mark else 0, text.count("\n"))
    lines = text.splitlines() or [""]
    problem = error.problem or error.context or "not YAML"
    line = lines[min(number, len(lines) - 1)]
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return Fault(file, number + 1, "", "a tab is used to indent", "YAML wants spaces")
    if "could not find expected ':'" in problem or "mapping values are not allowed" in problem:
        return _missing_colon(file, lines, number, problem)
    if "did not find expected" in problem or "expected <block end>" in problem:
        return Fault(file, number + 1, "", f"this line does not fit the ones above: {quoted(line)}", _INDENT)
    return Fault(file, number + 1, "", f"not YAML: {problem}", f"near {quoted(line)}")


_INDENT = "is it indented as far as its neighbours, and does the line above it end with ':'?"


def _missing_colon(file: str, lines: list[str], number: int, problem: str) -> Fault:
    """A line without a colon is noticed at the next one that has one."""
    before = next((index for index in range(number, -1, -1) if _is_bare(lines[index])), number)
    bare = lines[before].strip() if _is_bare(lines[before]) else ""
    if bare:
        hint = "write `name: value`, or `name:` with indented lines below"
        return Fault(file, before + 1, "", f"{quoted(bare)} is neither a field nor a value of one", hint)
    above = next((index for index in range(number - 1, -1, -1) if lines[index].strip()), number)
    shown = quoted(lines[number]) if number < len(lines) else problem
    return Fault(file, number + 1, "", f"{shown} does not belong below {quoted(lines[above])}", _INDENT)


def _is_bare(line: str) -> bool:
    text = line.strip()
    return bool(text) and ":" not in text and not text.startswith(("-", "#", "]", "}", "[", "{"))


def quoted(text: str, most: int = 40) -> str:
    """Text out of a manifest, fit to be shown: cut short, control characters escaped."""
    text = text.strip()
    shown = text if len(text) <= most else text[: most - 1] + "…"
    return repr(shown)
