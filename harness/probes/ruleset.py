"""What the text of ``nft -s -t list ruleset`` says: our table, and rules of others that drop. Pure.

Text, not JSON: it is what a person sees on the node, and a rule is quoted as they would find it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OURS, OURS6 = "ip nodeport", "ip6 nodeport"
_QUOTED = re.compile(r'"[^"]*"')
_DROPS = re.compile(r"\b(drop|reject)\b")
_BASE = re.compile(r"type \S+ hook (?P<hook>\S+) .*?policy (?P<policy>\w+);")


@dataclass(frozen=True, slots=True)
class Line:
    """A rule, or what a base chain is: ``table`` is family and name, ``hook`` empty for a chain that is jumped to."""

    table: str
    chain: str
    hook: str
    text: str


def read(text: str) -> tuple[Line, ...]:
    """The lines of all chains, each whole however nft wrapped it."""
    return tuple(_lines(text))


def tables(text: str) -> tuple[str, ...]:
    """Family and name of every table."""
    return tuple(re.findall(r"^table (\S+ \S+) \{", text, re.MULTILINE))


def masquerades(lines: Sequence[Line], table: str = OURS) -> bool:
    """Whether connections come to a rule of our table that masquerades: by the set ``hidden``, after routing."""
    ours = [line for line in lines if line.table == table]
    hides = any("masquerade" in _plain(line.text).split() for line in ours)
    return hides and any(line.hook == "postrouting" and "@hidden" in line.text.split() for line in ours)


def foreign_drops(lines: Sequence[Line]) -> tuple[str, ...]:
    """Rules and policies of other tables that drop or reject, as ``family table chain: rule``.

    The hook of a base chain is told when the chain's name does not contain it. Elements of named verdict maps are
    not seen: with the sets of some firewalls they would be millions.
    """
    return tuple(_told(line) for line in lines if line.table not in (OURS, OURS6) and _DROPS.search(_plain(line.text)))


def _lines(text: str) -> Iterator[Line]:
    table = chain = hook = wrapped = ""
    for raw in text.splitlines():
        line = f"{wrapped} {raw.strip()}".strip()
        wrapped = line if line.endswith(",") else ""
        if wrapped:
            continue
        words = line.split()
        if not raw.startswith("\t") and words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif raw.startswith("\t") and not raw.startswith("\t\t"):
            chain, hook = (words[1], "") if words[:1] == ["chain"] else ("", "")
        elif chain and (base := _BASE.match(line)):
            hook = base["hook"]
            yield Line(table, chain, hook, f"policy {base['policy']}")
        elif chain and words:
            yield Line(table, chain, hook, line)


def _plain(text: str) -> str:
    return _QUOTED.sub("", text)


def _told(line: Line) -> str:
    where = f"{line.table} {line.chain}" + (f" (hook {line.hook})" if line.hook not in line.chain.lower() else "")
    return f"{where}: {line.text}"
