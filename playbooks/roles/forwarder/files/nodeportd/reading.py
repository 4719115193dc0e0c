"""State files read one after the other: Services whose text is as before are not read again.

Of ten thousand Services mostly a few change, and a state is read in full only when its text is not cut as Ansible
cuts it (one Service follows another at the same indentation), or when something in it is to be refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from nodeportd import state
from nodeportd.state import Service, State

_BEGIN = b'\n    "services": [\n        {\n'
_NEXT = b"\n        },\n        {\n"
_END = b"\n        }\n    ],\n"


class Reading:
    """What the last file said, Service by Service."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._services: tuple[Service, ...] = ()
        self._holders: dict[tuple[str, str, int], str] = {}
        self._addresses: tuple[str, ...] = ()

    def parse(self, raw: bytes) -> State:
        """The same as :func:`nodeportd.state.parse`, quick when little differs from the last time."""
        head, began, rest = raw.partition(_BEGIN)
        body, ended, tail = rest.rpartition(_END)
        texts = body.split(_NEXT) if began and ended else []
        found = self._known(head, texts, tail) if texts and len(self._texts) > 0 else None
        if found is None:
            self._texts = []
            found = state.parse(raw)
            self._remember(texts if len(texts) == len(found.services) else [], found)
        return found

    def _remember(self, texts: list[bytes], found: State) -> None:
        self._texts, self._services, self._addresses = texts, found.services, found.addresses
        self._holders = {place: each.key for each in found.services for place in _places(each)} if texts else {}

    def _known(self, head: bytes, texts: list[bytes], tail: bytes) -> State | None:
        """The state, if what differs from before is in order by itself and beside the others."""
        try:
            document = json.loads(head + b'\n    "services": [],\n' + tail)
            frame = state.read(document)
            services = self._same(texts)
        except (state.StateError, ValueError, RecursionError):
            return None
        if services is None or frame.addresses != self._addresses or not self._hold(services):
            return None
        self._texts, self._services = texts, services
        return replace(frame, services=services)

    def _same(self, texts: list[bytes]) -> tuple[Service, ...] | None:
        if len(texts) == len(self._texts):
            differ = [index for index, text in enumerate(texts) if text != self._texts[index]]
            services = list(self._services)
            for index in differ:
                services[index] = state.read_service(json.loads(b"{" + texts[index] + b"}"), f"services[{index}]")
            return tuple(services)
        known = dict(zip(self._texts, self._services, strict=True))
        return tuple(
            known[text] if text in known else state.read_service(json.loads(b"{" + text + b"}"), f"services[{index}]")
            for index, text in enumerate(texts)
        )

    def _hold(self, services: tuple[Service, ...]) -> bool:
        """Whether every Service has its places to itself; takes note of who holds what."""
        before = {id(each) for each in self._services}
        now = {id(each) for each in services}
        for each in self._services:
            if id(each) not in now:
                for place in _places(each):
                    del self._holders[place]
        free = True
        for each in services:
            if id(each) not in before:
                for place in _places(each):
                    free = free and place not in self._holders and place[0] not in self._addresses
                    self._holders[place] = each.key
        return free and len({each.key for each in services}) == len(services)


def _places(service: Service) -> Iterator[tuple[str, str, int]]:
    for port in service.ports:
        if port.node_port:
            yield ("nodePort", port.protocol, port.node_port)
        for address in (*service.cluster_addresses, *service.external_addresses):
            yield (address, port.protocol, port.port)
