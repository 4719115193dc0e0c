"""The rules of the chain ``remember`` in the table of IPv6, written over netlink. Pure.

They are the same as those of IPv4 (``chains.remembering``), but nft 1.0.6 (Debian 12) ends by an assertion, and whoever
has loaded libnftables with it, when it shall write a rule that adds an element to a map whose key or value is longer
than one IPv6 address. It lists them all the same, and the kernel has room for such a key and value in its registers.
Message formats: nf_tables.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from nodeportd.elements import Message, attribute, head

CHAIN = "remember"
_NEW, _DELETE = 6, 8  # NFT_MSG_NEWRULE, NFT_MSG_DELRULE
_CREATE, _APPEND = 0x400, 0x800
_CHAIN, _EXPRESSIONS, _ONE, _NAME, _DATA = 2, 4, 1, 1, 2  # NFTA_RULE_…, NFTA_LIST_ELEM, NFTA_EXPR_…
_NESTED = 0x8000
_FIRST = 8
"""The kernel's first register of 4 bytes; an address takes four of them."""
_L4PROTO, _MEANT_ADDRESS, _MEANT_PORT = 16, 22, 12  # NFT_META_L4PROTO, NFT_CT_DST_IP6, NFT_CT_PROTO_DST
_UPDATE = 1  # NFT_DYNSET_OP_UPDATE
_NETWORK, _TRANSPORT = 1, 2
_SOURCE, _DESTINATION, _PORT = (_NETWORK, 8, 16), (_NETWORK, 24, 16), (_TRANSPORT, 2, 2)
_PROTOCOLS = (6, 17)

_AGAIN = re.compile(r"^flush chain ip6 nodeport remember$\n?(?:^add rule ip6 nodeport remember .*$\n?)*", re.MULTILINE)
_WITHIN = re.compile(r"^ +meta l4proto (?:tcp|udp) .* update @clients .*\n", re.MULTILINE)
_DURATION = re.compile(r"@sticky-(\d+) update ")


def parts(text: str) -> Iterator[tuple[str, list[int] | None]]:
    """A transaction in parts, one after the other: text for nftables, then for how long clients are remembered.

    The durations are ``None`` where the rules stay those that they are.
    """
    end = 0
    for found in _AGAIN.finditer(text):
        yield text[end : found.start()], _durations(found[0])
        end = found.end()
    rest = text[end:]
    within = _durations("".join(_WITHIN.findall(rest)))
    yield _WITHIN.sub("", rest), within or None


def _durations(text: str) -> list[int]:
    return [*dict.fromkeys(map(int, _DURATION.findall(text)))]


def rules(table: str, durations: Iterable[int]) -> Iterator[Message]:
    """What makes these the rules of the chain, and no others, in one transaction."""
    chain = head(table) + attribute(_CHAIN, CHAIN.encode() + b"\0")
    yield Message(_DELETE, 0, chain, CHAIN)
    for seconds in durations:
        for protocol in _PROTOCOLS:
            listed = b"".join(attribute(_ONE | _NESTED, each) for each in _rule(protocol, seconds))
            yield Message(_NEW, _CREATE | _APPEND, chain + attribute(_EXPRESSIONS | _NESTED, listed), CHAIN)


def _rule(protocol: int, seconds: int) -> Iterator[bytes]:
    """``meta l4proto … place @sticky-… update @clients { ip6 saddr . place timeout … : ip6 daddr . th dport }``."""
    place, client, target = _FIRST, _FIRST + 4, _FIRST + 10
    yield _meta(_FIRST)
    value = attribute(1, bytes([protocol]))
    yield _expression("cmp", _number(1, _FIRST), _number(2, 0), attribute(3 | _NESTED, value))
    yield from _place(place)
    yield _expression("lookup", attribute(1, f"sticky-{seconds}\0".encode()), _number(2, place))
    yield _payload(_FIRST, *_SOURCE)
    yield from _place(client)
    yield _payload(target, *_DESTINATION)
    yield _payload(target + 4, *_PORT)
    lasts = attribute(6, struct.pack(">Q", seconds * 1000))
    written = _number(3, _UPDATE), _number(4, _FIRST), _number(5, target), lasts
    yield _expression("dynset", attribute(1, b"clients\0"), *written)


def _place(register: int) -> Iterator[bytes]:
    """``ct original ip6 daddr . meta l4proto . ct original proto-dst``."""
    original = attribute(3, b"\0")
    yield _expression("ct", _number(1, register), _number(2, _MEANT_ADDRESS), original)
    yield _meta(register + 4)
    yield _expression("ct", _number(1, register + 5), _number(2, _MEANT_PORT), original)


def _meta(register: int) -> bytes:
    return _expression("meta", _number(1, register), _number(2, _L4PROTO))


def _payload(register: int, base: int, offset: int, size: int) -> bytes:
    return _expression("payload", _number(1, register), _number(2, base), _number(3, offset), _number(4, size))


def _expression(name: str, *attributes: bytes) -> bytes:
    return attribute(_NAME, name.encode() + b"\0") + attribute(_DATA | _NESTED, b"".join(attributes))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))
