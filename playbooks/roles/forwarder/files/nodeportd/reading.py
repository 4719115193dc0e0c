"""State files read one after the other: Services whose text is as before are not read again.

Of ten thousand Services mostly a few change: what is before and after them is compared as a whole and not even cut. A
state is read in full only when its text is not cut as Ansible cuts it (one Service follows another at the same
indentation), or when something in it is to be refused.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import accumulate

from nodeportd import state
from nodeportd.state import Service, State

_BEGIN = b'\n    "services": [\n        {\n'
_NEXT = b"\n        },\n        {\n"
_END = b"\n        }\n    ],\n"
_BLOCK = 1 << 18


class Reading:
    """What the last file said, Service by Service: ``body`` is the text of all, ``sizes`` the length of each."""

    def __init__(self) -> None:
        self._body = b""
        self._sizes: list[int] = []
        self._services: tuple[Service, ...] = ()
        self._holders: dict[tuple[str, str, int], str] = {}
        self._keys: set[str] = set()
        self._addresses: tuple[str, ...] = ()

    def parse(self, raw: bytes) -> State:
        """The same as :func:`nodeportd.state.parse`, quick when little differs from the last time."""
        begin = raw.find(_BEGIN)
        end = raw.rfind(_END, begin + len(_BEGIN)) if begin >= 0 else -1
        body = raw[begin + len(_BEGIN) : end] if end >= 0 else b""
        found = self._known(raw[:begin], body, raw[end + len(_END) :]) if end >= 0 and self._sizes else None
        if found is None:
            self._sizes = []
            found = state.parse(raw)
            self._remember(body, found)
        return found

    def _remember(self, body: bytes, found: State) -> None:
        texts = body.split(_NEXT)
        if len(texts) == len(found.services):
            self._body, self._sizes = body, [len(text) for text in texts]
            self._services, self._addresses = found.services, found.addresses
            self._holders = {place: each.key for each in found.services for place in _places(each)}
            self._keys = {each.key for each in found.services}

    def _known(self, head: bytes, body: bytes, tail: bytes) -> State | None:
        """The state, if what differs from before is in order by itself and beside the others."""
        try:
            frame = state.read(json.loads(head + b'\n    "services": [],\n' + tail))
            if frame.addresses == self._addresses and (body == self._body or self._takes(body)):
                return replace(frame, services=self._services)
        except (state.StateError, ValueError, RecursionError):
            pass
        return None

    def _takes(self, body: bytes) -> bool:
        """Read the Services between the first and the last byte that differ; whether each has its places to itself."""
        begins = list(accumulate((size + len(_NEXT) for size in self._sizes[:-1]), initial=0))
        ends = [begin + size for begin, size in zip(begins, self._sizes, strict=True)]
        prefix, suffix = _alike(self._body, body)
        first = bisect_right(begins, prefix) - 1
        last = bisect_left(ends, len(self._body) - suffix)
        before = self._body[begins[first] : ends[last]].split(_NEXT)
        now = body[begins[first] : len(body) - (len(self._body) - ends[last])].split(_NEXT)
        old = self._services[first : last + 1]
        known = dict(zip(before, old, strict=True))
        new = [known[text] if text in known else _read(text, first + index) for index, text in enumerate(now)]
        self._services = (*self._services[:first], *new, *self._services[last + 1 :])
        self._sizes[first : last + 1] = map(len, now)
        self._body = body
        stay = {id(each) for each in old} & {id(each) for each in new}
        free = self._hold(
            [each for each in old if id(each) not in stay], [each for each in new if id(each) not in stay]
        )
        return free and len(set(now)) == len(now)

    def _hold(self, gone: list[Service], come: list[Service]) -> bool:
        """Whether every Service has its places and its name to itself; takes note of who holds what."""
        for each in gone:
            self._keys.discard(each.key)
            for place in _places(each):
                self._holders.pop(place, None)
        free = True
        for each in come:
            free = free and each.key not in self._keys
            self._keys.add(each.key)
            for place in _places(each):
                free = free and place not in self._holders and place[0] not in self._addresses
                self._holders[place] = each.key
        return free


def _read(text: bytes, index: int) -> Service:
    return state.read_service(json.loads(b"{" + text + b"}"), f"services[{index}]")


def _alike(one: bytes, other: bytes) -> tuple[int, int]:
    """How many bytes at the beginning are the same in both, and how many of those that are left at the end."""
    most = min(len(one), len(other))
    prefix = _common(lambda at, to: one[at:to] == other[at:to], most)
    ends = len(one), len(other)
    suffix = _common(
        lambda at, to: one[ends[0] - to : ends[0] - at] == other[ends[1] - to : ends[1] - at], most - prefix
    )
    return prefix, suffix


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


def _places(service: Service) -> Iterator[tuple[str, str, int]]:
    for port in service.ports:
        if port.node_port:
            yield ("nodePort", port.protocol, port.node_port)
        for address in (*service.cluster_addresses, *service.external_addresses):
            yield (address, port.protocol, port.port)
