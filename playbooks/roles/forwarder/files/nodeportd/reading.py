"""State files read one after the other: what is written as before is not read again.

The role writes an item of ``checks`` and ``services`` a line (filter ``nodeport_lines``). Of such a file only the lines
between the first and the last that differ are looked at; all else is one comparison of bytes. A file of any other
layout, or with something to be refused, is read as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from nodeportd import checks, state
from nodeportd.checks import Check
from nodeportd.state import Change, Service, State

_CHECKS = b'\n"checks": [\n'
_SERVICES = b'\n],\n"services": [\n'
_END = b"\n]\n}\n"
_BLOCK = 1 << 20

Place = tuple[str, str, int]
"""An address, or the word nodePort; a protocol and a port."""

T = TypeVar("T")


class OtherLayout(Exception):
    """It cannot be read line by line."""


class Span(NamedTuple):
    """Part of a file: the lines of a list, from the line break before them to that after them."""

    raw: bytes | bytearray
    begin: int
    end: int


_EMPTY = Span(b"\n\n", 0, 2)


class Lines(Generic[T]):
    """The items of one list; ``name`` is what no two of them have in common."""

    def __init__(self, read: Callable[[Any], T], name: Callable[[T], str]) -> None:
        self._read, self._name = read, name
        self.span = _EMPTY
        self.items: tuple[T, ...] = ()
        self._at: dict[str, int] = {}

    def differing(self, new: Span) -> tuple[int, tuple[T, ...], tuple[T, ...]]:
        """What takes the place of which items, and at which of them.

        Raises :class:`OtherLayout`, :class:`nodeportd.state.StateError` and :class:`ValueError`.
        """
        old = self.span
        most = min(old.end - old.begin, new.end - new.begin)
        prefix = alike(old, new, most - 1)  # the line break at the end is what both have at the end, if nothing else
        if prefix == most - 1 and old.end - old.begin == new.end - new.begin:
            return 0, (), ()
        suffix = alike_at_the_end(old, new, most - prefix)
        was, now = (_lines(each, prefix, suffix) for each in (old, new))
        first = self._at[self._name(self._item(was[0]))] if was else 0
        gone = self.items[first : first + len(was)]
        known = dict(zip(was, gone, strict=True))
        come = tuple(known[line] if line in known else self._item(line) for line in now)
        names = [self._name(each) for each in come]
        leave = {self._name(each) for each in gone}
        if len(set(names)) < len(names) or any(name in self._at and name not in leave for name in names):
            raise OtherLayout
        return first, gone, come

    def _item(self, line: bytes) -> T:
        return self._read(json.loads(line.decode()))

    def take(self, span: Span, first: int, gone: Sequence[T], come: Sequence[T]) -> None:
        """The list is this now."""
        self.span = span
        if not gone and not come:
            return
        self.items = (*self.items[:first], *come, *self.items[first + len(gone) :])
        if [self._name(each) for each in gone] != [self._name(each) for each in come]:
            self._at = {self._name(each): index for index, each in enumerate(self.items)}


class Reading:
    """What the last file said."""

    def __init__(self) -> None:
        self._buffers = bytearray(), bytearray()  # memory that is given back and asked for anew costs more than reading
        self._forget()

    def _forget(self) -> None:
        self._addresses: tuple[str, ...] = ()
        self._checks = Lines(_check, lambda check: check.key)
        self._services = Lines(_service, lambda service: service.key)
        self._holders: dict[Place, str] = {}

    def read(self, file: Path) -> State:
        """What the file says; raises as :func:`nodeportd.state.parse`, and :class:`OSError`."""
        one, other = self._buffers
        buffer = other if self._services.span.raw is one else one
        _fill(buffer, file)
        return self.parse(buffer)

    def parse(self, raw: bytes | bytearray) -> State:
        """The same as :func:`nodeportd.state.parse`, quick when little differs from the last time."""
        try:
            return self._follow(raw)
        except (OtherLayout, state.StateError, ValueError, RecursionError):
            return state.parse(raw)

    def _follow(self, raw: bytes | bytearray) -> State:
        """The state, of which note is taken only when all of it is in order."""
        head, checked, served = self._spans(raw)
        frame = state.parse(head + _CHECKS + _SERVICES + _END)
        if frame.addresses != self._addresses:
            self._forget()
        asked, differing = self._checks.differing(checked), self._services.differing(served)
        _, gone, come = differing
        places = self._free(gone, come, frame.addresses)
        self._addresses = frame.addresses
        self._checks.take(checked, *asked)
        before = self._services.items
        self._services.take(served, *differing)
        for each in gone:
            for place in _places(each):
                del self._holders[place]
        self._holders.update(places)
        services = self._services.items
        change = Change(before, services, gone, come)
        return replace(frame, checks=self._checks.items, services=services, change=change)

    def _spans(self, raw: bytes | bytearray) -> tuple[bytes | bytearray, Span, Span]:
        """What is before the lists, and both of them."""
        cut = raw.find(_CHECKS)
        begin = cut + len(_CHECKS) - 1
        if cut < 0 or not raw.endswith(_END):
            raise OtherLayout
        old = self._checks.span
        same = Span(old.raw, old.begin, min(len(old.raw), old.end - 1 + len(_SERVICES)))
        alike_so_far = alike(same, Span(raw, begin, len(raw)), min(same.end - same.begin, len(raw) - begin))
        middle = raw.find(_SERVICES, begin + max(1, alike_so_far - len(_SERVICES)))
        served = Span(raw, middle + len(_SERVICES) - 1, len(raw) - len(_END) + 1)
        if middle < 0 or served.end - served.begin < 2:
            raise OtherLayout
        return raw[:cut], Span(raw, begin, middle + 1), served

    def _free(
        self, gone: Collection[Service], come: Collection[Service], addresses: Collection[str]
    ) -> dict[Place, str]:
        """Who holds which place from now on; nobody may hold one that another has."""
        leave = {each.key for each in gone}
        places: dict[Place, str] = {}

        def taken(place: Place) -> bool:
            holder = self._holders.get(place)
            return place in places or (holder is not None and holder not in leave)

        for each in come:
            for place in _places(each):
                where, protocol, number = place
                ways: Iterator[Place] = ((address, protocol, number) for address in addresses)
                if where != "nodePort":
                    ways = iter([("nodePort", protocol, number)] if where in addresses else [])
                if taken(place) or any(map(taken, ways)):
                    raise OtherLayout
                places[place] = each.key
        return places


def _fill(buffer: bytearray, file: Path) -> None:
    """Read a file into memory that is there already."""
    with file.open("rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        del buffer[size:]
        buffer.extend(bytes(size - len(buffer)))
        with memoryview(buffer) as view:
            got = opened.readinto(view) or 0
        del buffer[got:]
        buffer.extend(opened.read())  # what somebody wrote meanwhile


def _check(value: Any) -> Check:
    reasons: list[str] = []
    found = list(checks.read([value], reasons))
    if reasons:
        raise state.StateError(reasons)
    return found[0]


def _service(value: Any) -> Service:
    return state.read_service(value, "services")


def _lines(span: Span, prefix: int, suffix: int) -> list[bytes]:
    """The whole lines that are not within so many bytes at the beginning and at the end, without the commas."""
    raw, begin, end = span
    first = raw.rfind(b"\n", begin, begin + prefix)
    last = raw.find(b"\n", end - suffix, end)
    text = bytes(raw[first + 1 : last])
    if last == end - 1:
        if first == begin and not text:
            return []
        text += b","
    lines = text.split(b"\n")
    if not all(line.endswith(b",") for line in lines):
        raise OtherLayout
    return [line[:-1] for line in lines]


def alike(old: Span, new: Span, most: int) -> int:
    """How many bytes at the beginning are the same in both, of so many."""
    with memoryview(old.raw) as view:
        return _common(
            lambda at, to: new.raw.startswith(view[old.begin + at : old.begin + to], new.begin + at), most
        )  # fmt: skip


def alike_at_the_end(old: Span, new: Span, most: int) -> int:
    """How many bytes at the end are the same in both, of so many."""
    with memoryview(old.raw) as view:
        return _common(lambda at, to: new.raw.startswith(view[old.end - to : old.end - at], new.end - to), most)


def _common(same: Callable[[int, int], bool], most: int) -> int:
    """Up to where everything is the same, in steps of half the size once something differs."""
    at, size = 0, _BLOCK
    while at < most and size:
        to = min(at + size, most)
        if same(at, to):
            at = to
        else:
            size //= 2
    return at


def _places(service: Service) -> Iterator[Place]:
    for port in service.ports:
        if port.node_port:
            yield ("nodePort", port.protocol, port.node_port)
        for address in (*service.cluster_addresses, *service.external_addresses):
            yield (address, port.protocol, port.port)
