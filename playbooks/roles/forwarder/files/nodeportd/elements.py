"""Elements of the sets and maps of our table, written over netlink in one transaction.

libnftables reads text at some 7 µs an element, of which the kernel takes one; ten thousand Services have more than a
hundred thousand. Sets, chains and rules are few, so they stay text. Message formats: nf_tables.h, nfnetlink.h.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import NamedTuple

_NETFILTER, _NFTABLES = 12, 10
_BEGIN, _END = 0x10, 0x11
_REQUEST, _CREATE = 0x1, 0x400
_NEW, _DELETE = 12, 14  # NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM
_TABLE, _SET, _ELEMENTS, _ELEMENT = 1, 2, 3, 1  # NFTA_SET_ELEM_LIST_…, NFTA_LIST_ELEM
_KEY, _DATA, _FLAGS, _KEY_END = 1, 2, 3, 10  # NFTA_SET_ELEM_…
_VALUE, _VERDICT, _CODE, _CHAIN = 1, 2, 1, 2  # NFTA_DATA_…, NFTA_VERDICT_…
_NESTED = 0x8000
_INTERVAL_END = 1
_DROP, _GOTO = 0, -4
_FAILED = 2  # NLMSG_ERROR
_FORCED_BUFFER = 32  # SO_SNDBUFFORCE
_MOST_BYTES = 60_000
"""Of elements in one message: the length of an attribute has 16 bits."""

_FAMILIES = {"ip": socket.AF_INET, "ip6": socket.AF_INET6}
_PROTOCOLS = {"tcp": bytes([6, 0, 0, 0]), "udp": bytes([17, 0, 0, 0])}


class Change(NamedTuple):
    """Elements that are added to a set or map, deleted from it, or (``flush``, without any) all deleted.

    ``verb`` is ``add``, ``delete`` or ``flush``; keys and values are as nftables shows them, the value of a set's
    element is empty, and so is that of one to be deleted.
    """

    verb: str
    name: str
    values: Mapping[str, str]


class Message(NamedTuple):
    """One message of a transaction; ``about`` names what it changes."""

    kind: int
    flags: int
    body: bytes
    about: str


class Writer:
    """A netlink socket that stays open: to close one that deleted something takes the kernel 10 to 20 ms."""

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None

    def write(self, table: str, changes: Iterable[Change]) -> None:
        """Carry out all changes of a table (``ip nodeport``) in one transaction, in the network namespace of first use.

        Raises :class:`OSError`, and then nothing is changed; its text names the set.
        """
        self.commit(_messages(table, changes))

    def commit(self, messages: Iterable[Message]) -> None:
        """Carry out a transaction of any messages, as :meth:`write`."""
        begun = struct.pack("=BBH", 0, 0, socket.htons(_NFTABLES))
        batch, names = [_message(_BEGIN, 0, 0, begun)], [""]
        for number, each in enumerate(messages, 1):
            batch.append(_message(_NFTABLES << 8 | each.kind, each.flags, number, each.body))
            names.append(each.about)
        batch.append(_message(_END, 0, len(batch), begun))
        self._send(b"".join(batch), names)

    def _send(self, batch: bytes, names: list[str]) -> None:
        netlink = self._netlink = self._netlink or socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        netlink.setsockopt(socket.SOL_SOCKET, _FORCED_BUFFER, len(batch) + 4096)
        netlink.send(batch)  # the kernel has done it when this returns, and answers only what it refuses
        for answer in list(itertools.islice(_answers(netlink), len(names) + 1)):
            kind, number, code = struct.unpack_from("=4xH2xI4xi", answer)
            if kind == _FAILED and code:
                where = names[number] if number < len(names) else "none"
                raise OSError(-code, f"{where}: {os.strerror(-code)}")


def _messages(table: str, changes: Iterable[Change]) -> Iterator[Message]:
    encode = _Encoder()
    for change in changes:
        kind, flags = (_NEW, _CREATE) if change.verb == "add" else (_DELETE, 0)
        whole = head(table) + attribute(_SET, change.name.encode() + b"\0")
        about = f"elements of {change.name}"
        for body in [b""] if change.verb == "flush" else encode.lists(change):
            yield Message(kind, flags, whole + body, about)


def head(table: str) -> bytes:
    """How each message begins that changes something in this table (``ip nodeport``)."""
    family, _, name = table.partition(" ")
    return struct.pack("=BBH", _FAMILIES[family], 0, 0) + attribute(_TABLE, name.encode() + b"\0")


def _answers(netlink: socket.socket) -> Iterator[bytes]:
    """All that is there."""
    with contextlib.suppress(BlockingIOError):
        while True:
            yield netlink.recv(1 << 16, socket.MSG_DONTWAIT)


class _Encoder:
    """Elements as netlink has them; what many of them share is thought of once."""

    def __init__(self) -> None:
        self._places: dict[str, bytes] = {}
        self._targets: dict[str, bytes] = {}

    def lists(self, change: Change) -> Iterator[bytes]:
        """The list of elements, in parts that fit into a message."""
        part: list[bytes] = []
        size = 0
        for element in self._elements(change):
            if size + len(element) > _MOST_BYTES:
                yield attribute(_ELEMENTS | _NESTED, b"".join(part))
                part, size = [], 0
            part.append(element)
            size += len(element)
        if part:
            yield attribute(_ELEMENTS | _NESTED, b"".join(part))

    def _elements(self, change: Change) -> Iterator[bytes]:
        kind = change.name.partition("-")[0]
        if kind == "pods":
            return (element for network in change.values for element in _interval(network))
        if kind == "allowed":
            return (self._allowed(key) for key in change.values)
        if kind == "own":
            return (_element(b"".join(map(_address, key.split(" . ")))) for key in change.values)
        if kind == "ways":
            return (_element(_way(key), _verdict(verdict)) for key, verdict in change.values.items())
        if kind in ("endpoints", "local"):
            return (self._endpoint(key, target) for key, target in change.values.items())
        return (_element(self._place(key), _data(_way(way)) if way else b"") for key, way in change.values.items())

    def _allowed(self, key: str) -> bytes:
        place, _, network = key.rpartition(" . ")
        first, last = _ends(network)
        end = attribute(_KEY_END | _NESTED, attribute(_VALUE, self._place(place) + last))
        return _element(self._place(place) + first, end)

    def _endpoint(self, key: str, target: str) -> bytes:
        place, _, number = key.rpartition(" . ")
        return _element(self._place(place) + _way(number), self._target(target))

    def _place(self, place: str) -> bytes:
        found = self._places.get(place)
        if found is None:
            address, protocol, port = place.split(" . ")
            found = self._places[place] = _address(address) + _PROTOCOLS[protocol] + _port(port)
        return found

    def _target(self, target: str) -> bytes:
        found = self._targets.get(target)
        if found is None:
            address, _, port = target.partition(" . ")
            found = self._targets[target] = _data(_address(address) + _port(port)) if target else b""
        return found


def _element(key: bytes, more: bytes = b"") -> bytes:
    size = len(key)
    lengths = 12 + size + len(more), _ELEMENT | _NESTED, 8 + size, _KEY | _NESTED, 4 + size, _VALUE
    return struct.pack("=HHHHHH", *lengths) + key + more


def _interval(network: str) -> Iterator[bytes]:
    """A network in a set of intervals: where it begins, and where what is after it begins, if anything is."""
    first, last = _ends(network)
    yield _element(first)
    after = int.from_bytes(last, "big") + 1
    if after < 1 << 8 * len(last):
        yield _element(after.to_bytes(len(last), "big"), attribute(_FLAGS, struct.pack(">I", _INTERVAL_END)))


def _data(value: bytes) -> bytes:
    return attribute(_DATA | _NESTED, attribute(_VALUE, value))


def _verdict(said: str) -> bytes:
    """The value of an element with a verdict; nothing for one that is deleted."""
    verb, _, chain = said.partition(" ")
    code = attribute(_CODE, struct.pack(">i", _GOTO if verb == "goto" else _DROP))
    name = attribute(_CHAIN, chain.encode() + b"\0") if chain else b""
    return attribute(_DATA | _NESTED, attribute(_VERDICT | _NESTED, code + name)) if said else b""


def _address(word: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in word else socket.AF_INET, word)


def _port(word: str) -> bytes:
    return struct.pack(">HH", int(word), 0)


def _way(word: str) -> bytes:
    major, _, minor = word.partition(":")
    return struct.pack("=I", int(major, 16) << 16 | int(minor, 16))


def _ends(network: str) -> tuple[bytes, bytes]:
    """The first and last address of a network."""
    whole = ip_network(network)
    return whole.network_address.packed, whole.broadcast_address.packed


def _message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, number, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute of netlink, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
