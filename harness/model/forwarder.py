"""The forwarders that nodeportd has, and what each of them can promise: the same words as its ``backend.FEATURES``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forwarder:
    """A backend of nodeportd.

    ``lacks`` says of each feature that it has not what happens instead, for a person. ``holder`` is the thing on a
    node that forwards, ``gone`` the name of the cause when that is not there. ``accepts``: it accepts connections
    itself, so that all of them, the node's own too, pass the node's input chains.
    """

    name: str
    features: frozenset[str]
    lacks: Mapping[str, str]
    holder: str
    gone: str
    accepts: bool


_ALL = frozenset({
    "cluster-addresses", "external-addresses", "affinity", "client-address", "internal-policy", "allowed-sources",
    "localhost", "udp", "ipv6",
})  # fmt: skip

_NFTABLES = {
    "localhost": "nodePorts do not answer on 127.0.0.1",
}
_SOCAT = {
    "cluster-addresses": "its own addresses (clusterIP) are not forwarded",
    "external-addresses": "its externalIPs are not forwarded",
    "internal-policy": "internalTrafficPolicy is about its own addresses, which are not forwarded",
    "client-address": "pods see the node as their client, and who must not be served is reset, not met with silence",
    "allowed-sources": "who is not allowed is reset after connecting, not met with silence",
}

DEFAULT = "nftables"

FORWARDERS: Mapping[str, Forwarder] = {
    name: Forwarder(name, _ALL - lacks.keys(), lacks, holder, gone, accepts)
    for name, lacks, holder, gone, accepts in (
        ("nftables", _NFTABLES, "nftables table", "ruleset-flushed", False),
        ("socat", _SOCAT, "relay (nodeport-socat.service)", "relay-down", True),
    )
}
