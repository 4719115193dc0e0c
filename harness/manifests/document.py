"""YAML text to documents, within limits that no honest manifest reaches.

Documents are composed from PyYAML's events, because PyYAML's own composer knows no limit: aliases that multiply
(“billion laughs”) or thousands of nested brackets would take all memory or the whole stack. Each document is parsed
alone, so that one that is no YAML does not hide the faults of those after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from harness.manifests import syntax
from harness.manifests.compose import Broken, Budget, Composer
from harness.manifests.faults import Faults
from harness.manifests.nodes import Node

MAX_BYTES = 4 * 1024 * 1024
"""A file's size; kubectl sends no object above 1.5 MiB either (etcd's limit)."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOUNDARY = re.compile(r"^(?:---(?=[ \t\n]|\Z)|\.\.\.(?=[ \t]*(?:#.*)?(?:\n|\Z)))", re.MULTILINE)
_NOTHING = re.compile(r"(?:[ \t]*(?:#.*)?(?:\n|\Z)|%.*(?:\n|\Z))*")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")


def documents(data: bytes, noted: Faults) -> Iterator[Node]:
    """The documents of one file, empty ones left out; every place that is no YAML, or beyond a limit, is noted."""
    text = _decoded(data, noted)
    budget = Budget()
    for line, chunk in _chunks(text):
        if budget.left < 0 or noted.more:
            return
        document = _document(chunk, line, noted, budget)
        if document is not None:
            yield document


def _document(chunk: str, line: int, noted: Faults, budget: Budget) -> Node | None:
    if chunk.startswith("%"):
        noted.add(line + 1, "", "a line that begins with % is a directive", "end it by a line ---, or remove it")
        return None
    composer = Composer(noted, line, budget)
    try:
        for event in yaml.parse(chunk, Loader=_Loader):
            composer.take(event)
    except Broken as broken:
        noted.add(broken.line, "", broken.reason, broken.hint)
        return None
    except yaml.MarkedYAMLError as error:
        reason = syntax.explain(chunk, error)
        noted.add(line + reason.line, "", reason.reason, reason.hint)
        return None
    except yaml.YAMLError as error:
        noted.add(line, "", f"not YAML: {' '.join(str(error).split())[:120]}")
        return None
    document = composer.document
    return None if document is None or document.tag == "null" else document


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """The text between the lines that part documents, each with the number of lines before it; empty ones left out."""
    start, line = 0, 0
    for boundary in [*_BOUNDARY.finditer(text), None]:
        end = boundary.start() if boundary else len(text)
        chunk = text[start:end]
        before = line
        line += chunk.count("\n")
        start = end if boundary is None or boundary.group() == "---" else boundary.end()
        if not _NOTHING.fullmatch(chunk.removeprefix("---")):
            yield before, chunk


def _decoded(data: bytes, noted: Faults) -> str:
    """The text of a file, line ends made alike; empty, and a fault noted, when it is no text."""
    if len(data) > MAX_BYTES:
        size = f"the file has {len(data) / 1024**2:.1f} MiB; at most {MAX_BYTES // 1024**2} MiB are read"
        noted.add(1, "", size, "is it a manifest? split it")
        return ""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        noted.add(1, "", "the file is UTF-16", "save it as UTF-8")
        return ""
    if b"\0" in data:
        noted.add(1, "", "the file has NUL bytes: it is binary, or UTF-16", "is it the right file? save it as UTF-8")
        return ""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        noted.add(line, "", "the file is not text in UTF-8", "is it the right file? save it as UTF-8")
        return ""
    odd = _UNPRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        noted.add(line, "", f"the file has the control character {odd.group()!r}", "remove it")
        return ""
    return text
