"""YAML errors in the words of somebody who writes manifests: what is wrong, and what was probably meant."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from harness.manifests.faults import quoted
from harness.manifests.fields import TYPES
from harness.manifests.hints import META, meant

_SIBLINGS = [TYPES[kind] for kind in "ObjectMeta ServiceSpec ServicePort PodSpec Container DeploymentSpec".split()]
_SIGNS = ("while scanning an alias", "while scanning an anchor", "while scanning a block", "while parsing a tag",
          "while scanning a tag")  # fmt: skip
_INDENT = "is it indented as far as its neighbours, and does the line above it end with ':'?"


@dataclass(frozen=True, slots=True)
class Explained:
    """What is wrong in which line of the text, from 1, and a hint."""

    line: int
    reason: str
    hint: str = ""


def explain(text: str, error: yaml.MarkedYAMLError) -> Explained:
    """The line that is wrong, which is not always the one where the parser noticed it."""
    mark = error.problem_mark or error.context_mark
    lines = text.split("\n")
    number = min(mark.line if mark else 0, len(lines) - 1)
    while number and not lines[number].strip():
        number -= 1
    return _by_line(lines, number, error.problem or "") or _by_problem(lines, number, error)


def _by_line(lines: list[str], number: int, problem: str) -> Explained | None:
    """What can be seen in the line, or the one above it."""
    line = lines[number]
    if "\t" in line[: len(line) - len(line.lstrip())] or "\\t" in problem or "tab character" in problem:
        return Explained(number + 1, "a tab is used to indent", "YAML wants spaces")
    for index in (number, max(number - 1, 0)):
        if "{{" in lines[index] or "{%" in lines[index]:
            hint = "a template? render it first, as by helm template"
            return Explained(index + 1, f"not YAML: {quoted(lines[index])}", hint)
    quote = re.search(r""": *(['"])[^'"]*\1[^\s#,}\]]""", line)
    if quote:
        hint = "write '' for a ' within quotes" if quote[1] == "'" else 'write \\" for a " within quotes'
        return Explained(number + 1, f"{quoted(line)} goes on after its quote is closed", hint)
    if any(line.count(shut) > line.count(begin) for begin, shut in ("{}", "[]")):
        return Explained(number + 1, f"{quoted(line)} closes a bracket that is not open", "remove it, or open it")
    return None


def _by_problem(lines: list[str], number: int, error: yaml.MarkedYAMLError) -> Explained:
    """What the parser says of it."""
    line, problem, context = lines[number], error.problem or "", error.context or ""
    if "quoted scalar" in context:
        return Explained(_line(error.context_mark, number), "a quote that opens here is not closed as it should be")
    if "parsing a flow" in context:
        reason = "a bracket that opens here is not closed, or a comma is missing in it"
        return Explained(_line(error.context_mark, number), reason, f"noticed at {quoted(line)}")
    if "expected ':'" in problem or "mapping values are not allowed" in problem:
        return _missing_colon(lines, number, _line(error.context_mark, number) - 1)
    if "cannot start any token" in problem or context.startswith(_SIGNS):
        return Explained(number + 1, f"{quoted(line)} has a character that YAML keeps for itself", "quote it")
    if "did not find expected" in problem or "expected <block end>" in problem:
        return Explained(number + 1, f"{quoted(line)} does not fit the lines above", _INDENT)
    return Explained(number + 1, f"not YAML: {problem or context or 'cannot be read'}", f"near {quoted(line)}")


def _line(mark: yaml.Mark | None, otherwise: int) -> int:
    return (mark.line if mark else otherwise) + 1


def _missing_colon(lines: list[str], number: int, begun: int) -> Explained:
    """A line without a colon is noticed at the next one that has one; ``begun`` is where the parser saw it begin."""
    before = next((index for index in range(number - 1, -1, -1) if _says_something(lines[index])), number)
    for index in (begun, number, before):
        if _is_bare(lines[index]):
            bare = lines[index].strip()
            return Explained(index + 1, f"{quoted(bare)} is neither a field nor a value of one", meant(bare))
    line, above = lines[number], lines[before] if before != number else ""
    if _indent(line) > _indent(above) and re.search(r":\s+[^|>\s]", above):
        reason = f"{quoted(line)} does not belong below {quoted(above)}, which has a value already"
        return Explained(number + 1, reason, _missing_parent(line, above))
    if re.search(r":\s.*:(\s|$)", line):
        return Explained(number + 1, f"{quoted(line)} has more than one ': '", "quote the value")
    return Explained(number + 1, f"{quoted(line)} does not fit the lines above", _INDENT)


def _missing_parent(line: str, above: str) -> str:
    name, before = (text.strip().removeprefix("- ").partition(":")[0] for text in (line, above))
    if any(name in fields and before in fields for fields in _SIBLINGS):
        return "is it indented too far?"
    if name in META:
        return "is the line `metadata:` missing above it, or is it indented too far?"
    if any(name in TYPES[kind] for kind in ("ServiceSpec", "PodSpec", "DeploymentSpec")):
        return "is the line `spec:` missing above it, or is it indented too far?"
    return "is a line missing above it, or is it indented too far?"


def _says_something(line: str) -> bool:
    return not line.strip().startswith("#") and bool(line.strip())


def _is_bare(line: str) -> bool:
    text = line.strip()
    known = bool(text) and not text.startswith(("-", "#", "]", "}", "[", "{", "'", '"', "|", ">"))
    return known and not re.search(r":(\s|$)", text)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
