"""YAML events of one document to nodes, with a budget for their number and depth.

What Kubernetes' own reading would take wrongly or refuse is noted here, wherever it stands: keys that are there twice,
keys that are no strings, merge keys, tags.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from harness.manifests import scalars
from harness.manifests.faults import Faults, joined, quoted
from harness.manifests.nodes import Node

MAX_DEPTH = 60
MAX_NODES = 400_000
"""Nodes of one file, aliases counted as often as they are used. 4 MiB of real manifests have about 300,000."""

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset("str int float bool null timestamp".split())
_WORDS = {"bool": "true or false", "int": "a number", "float": "a number", "null": "empty"}


class Broken(Exception):
    """The document cannot be read on from here."""

    def __init__(self, line: int, reason: str, hint: str = "") -> None:
        self.line, self.reason, self.hint = line + 1, reason, hint
        super().__init__(reason)


@dataclass(slots=True)
class Budget:
    """How many nodes a file may still have."""

    left: int = MAX_NODES

    def spend(self, nodes: int, line: int) -> None:
        """Count nodes; raises :class:`Broken` when there are too many."""
        self.left -= nodes
        if self.left < 0:
            raise Broken(line, f"the file has more than {MAX_NODES:,} values, aliases (*name) written out", "split it")


@dataclass(slots=True)
class _Open:
    """A mapping or list that has not ended yet; ``children`` are a mapping's keys and values in turn."""

    node: Node
    anchor: str | None
    children: list[Node] = field(default_factory=list)


class Composer:
    """Puts the events of one document together; ``document`` is its root when all events were taken.

    ``line`` is the number of lines of the file before the document.
    """

    def __init__(self, noted: Faults, line: int, budget: Budget) -> None:
        self.noted, self.first, self.budget = noted, line, budget
        self.document: Node | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.open: set[str] = set()

    def take(self, event: yaml.Event) -> None:
        """Take the next event; raises :class:`Broken` when the document cannot be read on."""
        line = self.first + event.start_mark.line if event.start_mark else self.first
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event, line), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._alias(event.anchor or "", line), None)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin("map", event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin("seq", event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._end()

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Node:
        self.budget.spend(1, line)
        tag = "str"
        if event.tag not in (None, "!"):
            tag = self._own_tag(event.tag, line, _SCALAR_TAGS)
        elif event.implicit[0]:
            tag = scalars.meaning(event.value)
        return Node(tag, line + 1, event.value)

    def _own_tag(self, tag: str, line: int, known: frozenset[str]) -> str:
        name = tag.removeprefix(_TAG)
        if name in known:
            return "str" if name == "timestamp" else name
        self.noted.add(line + 1, "", f"the tag {quoted(tag.replace(_TAG, '!!'))} is not for manifests", "remove it")
        return "str"

    def _alias(self, anchor: str, line: int) -> Node:
        if anchor in self.open:
            raise Broken(line, f"the alias *{anchor[:40]} contains itself", "write the value out")
        if anchor not in self.anchors:
            hint = f'if the value begins with *, quote it: "*{anchor[:40]}"'
            raise Broken(line, f"there is no anchor &{anchor[:40]} for the alias *{anchor[:40]}", hint)
        self.budget.spend(self.anchors[anchor].weight, line)
        return self.anchors[anchor]

    def _begin(self, tag: str, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        self.budget.spend(1, line)
        if event.tag not in (None, "!"):
            self._own_tag(event.tag, line, frozenset((tag,)))
        if len(self.stack) >= MAX_DEPTH:
            raise Broken(line, f"nested deeper than {MAX_DEPTH} levels", "is it a manifest?")
        if event.anchor:
            self.open.add(event.anchor)
        self.stack.append(_Open(Node(tag, line + 1), event.anchor))

    def _end(self) -> None:
        ended = self.stack.pop()
        node = ended.node
        node.weight = 1 + sum(child.weight for child in ended.children)
        if node.tag == "map":
            for key, value in zip(ended.children[::2], ended.children[1::2], strict=True):
                self._field(node, key, value)
        else:
            node.items = ended.children
        if ended.anchor:
            self.open.discard(ended.anchor)
        self._add(node, ended.anchor)

    def _field(self, node: Node, key: Node, value: Node) -> None:
        if key.tag == "str" and key.text not in node.fields and key.text != "<<":
            node.fields[key.text] = value
            node.key_lines[key.text] = key.line
            return
        path, line = self._path(), key.line
        if key.tag in ("map", "seq"):
            hint = "a template such as {{ … }}? render it first, as by helm template"
            self.noted.add(line, path, "a bracket begins where the name of a field should be", hint)
        elif key.tag != "str":
            what = f"the key {quoted(key.text)} is read as {_WORDS[key.tag]}, not as a word"
            self.noted.add(line, path, what, f'quote it: "{key.text[:40]}"')
        elif key.text == "<<":
            self.noted.add(line, path, "merge keys (<<) are not for manifests", "write the fields out")
        else:
            first = f"first in line {node.key_lines[key.text]}"
            self.noted.add(line, joined(path, key.text), "is there twice", first)

    def _path(self) -> str:
        """The path of the mapping or list that ended last, from what is open still."""
        path = ""
        for holder in self.stack:
            if holder.node.tag == "seq":
                path += f"[{len(holder.children)}]"
            elif len(holder.children) % 2:
                path = joined(path, holder.children[-1].text)
        return path

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if self.stack:
            self.stack[-1].children.append(node)
        else:
            self.document = node
