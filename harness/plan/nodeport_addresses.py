"""Which addresses of a node serve nodePorts: kube-proxy's ``--nodeport-addresses``.

Words are ``primary`` (the default of its nftables mode: the node's own address), ``all``, and networks in CIDR form,
in any mix (KEP-6032 allows that). ``localhost`` is not among them: kernel rules do not serve it (docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network

PRIMARY, ALL = "primary", "all"


def served(address: str, others: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """The addresses that the words name, of the node's own ``address`` and others such as ``10.0.0.5/24``.

    Empty when they name the own address alone, as no word does.
    """
    own = [address, *(str(IPv4Interface(each).ip) for each in others)]
    named = tuple(each for each in own if _named(each, each == address, words or (PRIMARY,)))
    return () if named == (address,) else named


def _named(address: str, primary: bool, words: Sequence[str]) -> bool:
    networks = [IPv4Network(word, strict=False) for word in words if word not in (PRIMARY, ALL)]
    asked = ALL in words or (primary and PRIMARY in words)
    return asked or any(IPv4Interface(address).ip in network for network in networks)


def word_fault(word: str) -> str:
    """What is wrong with one word, in a few of our own; empty when nothing is."""
    if word in (PRIMARY, ALL):
        return ""
    if word == "localhost":
        return "localhost is not served: kernel rules do not forward from loopback"
    try:
        network = IPv4Network(word, strict=False)
    except ValueError:
        return f"{word!r} is neither {PRIMARY} nor {ALL} nor an IPv4 network such as 10.0.0.0/24"
    return f"{word} is loopback, which is not served" if network.is_loopback else ""


def fault(name: str, address: str, others: Sequence[str], words: Sequence[str]) -> str:
    """Why the words leave a node without any address for nodePorts, or cannot be understood; empty when all is well."""
    wrong = [reason for word in words if (reason := word_fault(word))]
    if wrong:
        return f"node {name}: nodeport_addresses: {'; '.join(wrong)}"
    if not words or served(address, others, words) or _named(address, True, words):
        return ""
    known = ", ".join([address, *others])
    return (
        f"node {name}: nodeport_addresses names {', '.join(words)}, but none of its addresses: {known} "
        "(`harness up` asks the machine for them)"
    )
