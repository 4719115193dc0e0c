"""The sets, maps and chains of the table: those that are always there, and those for a number of endpoints. Pure.

Every base chain is of type ``nat``: the kernel calls those for the first packet of a connection alone, so that all
other packets cost nothing. Refusing and dropping is done there too, before an entry in conntrack is there to stay: once
the Service has endpoints, the next attempt from the same source port finds its way.

A place leads to a chain by way of a number (``services``, then ``ways``), and to an endpoint by way of its number. nft
writes no lookup of what a lookup found, and reads no map back that was made with the type of ``numgen``; so numbers are
put into the packet's priority in between. That is the packet's class when it is queued, which the kernel sets anew for
forwarded packets. Of a node's own, the first packet of a connection keeps the number of its endpoint there, from 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

TABLE = "ip nodeport"
MOST_CLIENTS = 262144
"""Clients that are remembered at once; beyond that new ones get any endpoint, as without affinity."""

REFUSE, SILENCE = "0:1", "0:2"
"""The ways of places without endpoints, and of those that answer nobody."""
WAYS = {REFUSE: "goto refuse", SILENCE: "drop"}
"""The elements of ``ways`` that are always there."""

_TYPE = "type ipv4_addr . inet_proto . inet_service"
_TARGET = "ipv4_addr . inet_service"
_PLACE = "ip daddr . meta l4proto . th dport"
_MEANT = "ct original ip daddr . meta l4proto . ct original proto-dst"
_TRANSLATED = "ct status dnat meta l4proto { tcp, udp }"
_ORDER = ("guard", "pick", "near", "stick", "stay", "part", "hold")
_BY_NUMBER = f"meta priority set {_PLACE} map @services meta priority vmap @ways"
_TO_ITSELF = "ip saddr . ip daddr @own masquerade"
# Where bridges call iptables (br_netfilter), what goes from pod to pod of this node comes from no interface.
_OF_OWN_POD = ('iifname "cni0" ip saddr @pods return', "iif 0 ip saddr @pods fib saddr type != local return")
_PICKS = {"pick": "endpoints", "near": "local"}
_AWAY = {"stick": "pick", "stay": "near"}
_BOTH = {"part": ("pick", "near"), "hold": ("stick", "stay")}


class Block(NamedTuple):
    """A set, a map or a chain. ``head`` says what it is, ``rules`` are those of a chain."""

    kind: str
    name: str
    head: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What stands before its braces."""
        return f"{self.kind} {self.name}"

    def written(self) -> list[str]:
        """The lines that make it, within a table."""
        return [f"  {self.title} {{", *(f"    {line}" for line in (*self.head, *self.rules)), "  }"]


def blocks(names: Iterable[str], durations: Iterable[int]) -> list[Block]:
    """The whole table but for elements, with these chains, and sets of places with affinity."""
    durations = tuple(durations)
    made = [block for name in names for block in chain(name)]
    remember = Block("chain", "remember", (), tuple(remembering(durations)))
    return [*SETS, *map(sticky, durations), *CHAINS, *made, remember, *BASES]


def order(name: str) -> tuple[int, tuple[int, ...]]:
    """Sorts chains so that each comes after those that it goes to."""
    kind, *numbers = name.split("-")
    return _ORDER.index(kind), tuple(map(int, numbers))


def way(name: str) -> str:
    """The number of that chain in ``ways``, as nftables shows it; empty for one that no place leads to."""
    kind, *numbers = name.split("-")
    if kind == "guard":
        return ""
    everywhere, here = (*map(int, numbers), 0)[:2]
    return f"{_ORDER.index(kind) << 12 | here:x}:{everywhere:x}"


def chain(name: str) -> list[Block]:
    """The chain of that name, after its map if it has one."""
    kind, *numbers = name.split("-")
    if kind in _PICKS:
        ends = f"{_PICKS[kind]}-{numbers[0]}"
        drawn = f"meta priority set numgen random mod {numbers[0]} offset 1"
        rule = f"{drawn} dnat ip to {_PLACE} . meta priority map @{ends}"
        return [Block("map", ends, (f"{_TYPE} . classid : {_TARGET}",)), Block("chain", name, (), (rule,))]
    if kind == "guard":
        drop = f"{_PLACE} @restricted {_PLACE} . ip saddr != @allowed drop"
        return [Block("chain", name, ("type nat hook prerouting priority -101; policy accept;",), (drop,))]
    return [Block("chain", name, (), _rules(kind, *numbers))]


def _rules(kind: str, everywhere: str, here: str = "0") -> tuple[str, str]:
    if kind in _AWAY:
        return f"dnat ip to ip saddr . {_PLACE} map @clients", f"goto {_AWAY[kind]}-{everywhere}"
    own, near = _BOTH[kind]
    outside = "drop" if here == "0" else f"goto {near}-{here}"
    return f"ip saddr != @pods fib saddr type != local {outside}", f"goto {own}-{everywhere}"


def without(name: str) -> list[str]:
    """The statements that remove what :func:`chain` makes."""
    return [f"delete {block.kind} {TABLE} {block.name}" for block in reversed(chain(name))]


def sticky(seconds: int) -> Block:
    """The set of places whose clients are remembered for so long."""
    return Block("set", f"sticky-{seconds}", (_TYPE,))


def remembering(durations: Iterable[int]) -> list[str]:
    """The rules of the chain ``remember``, which write or renew ``clients``."""
    return [
        f"meta l4proto {each} {_MEANT} @sticky-{seconds} "
        f"update @clients {{ ip saddr . {_MEANT} timeout {seconds}s : ip daddr . th dport }}"
        for seconds in durations
        for each in ("tcp", "udp")
    ]


SETS = (
    Block("set", "pods", ("type ipv4_addr", "flags interval")),
    Block("set", "own", ("type ipv4_addr . ipv4_addr",)),
    Block("set", "restricted", (_TYPE,)),
    Block("set", "allowed", (f"{_TYPE} . ipv4_addr", "flags interval")),
    Block(
        "map",
        "clients",
        (
            f"type ipv4_addr . ipv4_addr . inet_proto . inet_service : {_TARGET}",
            f"size {MOST_CLIENTS}",
            "flags dynamic,timeout",
        ),
    ),
    Block("map", "services", (f"{_TYPE} : classid",)),
    Block("map", "ways", ("type classid : verdict",)),
    *(Block("set", name, (_TYPE,)) for name in ("hidden", "hidden-own", "hidden-outsiders")),
)

# A pod that is sent to itself is hidden from itself, whatever the policy: no answer would leave it. All others of this
# node are seen as they are where the node's own policy lets them, because what they answer comes by the node's routing.
CHAINS = (
    Block("chain", "hide-outsiders", (), (_TO_ITSELF, *_OF_OWN_POD, "masquerade")),
    Block(
        "chain",
        "hide-own",
        (),
        (_TO_ITSELF, *_OF_OWN_POD, "ip saddr @pods masquerade", "fib saddr type local masquerade"),
    ),
    Block(
        "chain",
        "refuse",
        (),
        ("meta l4proto tcp reject with tcp reset", "reject with icmp port-unreachable"),
    ),
)
BASES = (
    Block("chain", "prerouting", ("type nat hook prerouting priority -100; policy accept;",), (_BY_NUMBER,)),
    Block("chain", "output", ("type nat hook output priority -100; policy accept;",), (_BY_NUMBER,)),
    Block(
        "chain",
        "postrouting",
        ("type nat hook postrouting priority 100; policy accept;",),
        (
            "ct status dnat jump remember",
            f"{_TRANSLATED} {_MEANT} @hidden masquerade",
            f"{_TRANSLATED} {_MEANT} @hidden-outsiders goto hide-outsiders",
            f"{_TRANSLATED} {_MEANT} @hidden-own goto hide-own",
        ),
    ),
)
