"""What ``nft list table`` prints, compared block by block. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

Listing = Mapping[str, tuple[str, ...]]
"""For each block, such as ``map services``: its lines in their order, then its elements, sorted."""

_BLOCK = re.compile(r"^\t((?:set|map|chain) \S+|\w+ \S+) \{\n(.*?)^\t\}", re.DOTALL | re.MULTILINE)
_ELEMENTS = re.compile(r"^\t\telements = \{(.*?)\}\n", re.DOTALL | re.MULTILINE)


def parse(text: str) -> Listing:
    """The blocks of a listed table; what stands outside of any is in the block ``table``."""
    blocks = {name: _lines(body) for name, body in _BLOCK.findall(text)}
    return {"table": _lines(_BLOCK.sub("", text)), **blocks}


def _lines(body: str) -> tuple[str, ...]:
    """Lines and elements of a block; elements that packets add and time removes are nobody's wish, so left out."""
    lines = [line.strip() for line in _ELEMENTS.sub("", body).splitlines()]
    dynamic = any(line.startswith("flags ") and "dynamic" in line for line in lines)
    held = "" if dynamic else ",".join(_ELEMENTS.findall(body))
    elements = sorted(part.strip() for part in held.split(","))
    return tuple(part for part in (*lines, *elements) if part)


def differences(wanted: Listing, found: Listing) -> Iterator[str]:
    """``- block: line`` for what is missing, ``+ block: line`` for what should not be there; nothing when all is well.

    Equal lines are counted: two chains may hold the same rule, and each of them needs it.
    """
    for block in sorted(wanted.keys() | found.keys()):
        if block not in found:
            yield f"- {block}"
        elif block not in wanted:
            yield f"+ {block}"
        else:
            yield from _within(block, wanted[block], found[block])


def _within(block: str, wanted: tuple[str, ...], found: tuple[str, ...]) -> Iterator[str]:
    missing, foreign = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
    yield from (f"- {block}: {line}" for line in sorted(missing.elements()))
    yield from (f"+ {block}: {line}" for line in sorted(foreign.elements()))
    if not missing and not foreign and wanted != found:
        yield f"~ {block}: its lines are in another order"
