"""What nodeportd asks of a forwarder, and which there are. A new one is a file and a line in ``BACKENDS``."""

from __future__ import annotations

import importlib
from typing import Protocol

from nodeportd.endpoints import Effective

BACKENDS = {"nftables": "nodeportd.dual", "socat": "nodeportd.socat"}
"""The module of each backend, by the name that a state uses; imported when it is asked for."""


class BackendError(Exception):
    """What is wanted could not be brought into force or compared; the text says why, for a person."""


class BusyError(BackendError):
    """Nobody knows how it is: who could tell had no time to answer."""


class Backend(Protocol):
    """A forwarder on this node. It keeps nothing but what it needs to change as little as possible."""

    name: str
    features: frozenset[str]
    """Which promises it can keep, by the words of :data:`FEATURES`."""

    def apply(self, wanted: Effective) -> None:
        """Bring the node to what is wanted.

        When that differs from what was applied last, only what differs is changed, and no connection is lost;
        when it is the same, or nothing was applied yet, everything is made anew: somebody asks because it is not
        right. Raises :class:`BackendError`, and then the next call makes everything anew.
        """

    def drift(self, wanted: Effective) -> tuple[str, ...]:
        """What on this node is not as wanted, a line each; works in a process that applied nothing.

        Raises :class:`BackendError`.
        """

    def remove(self) -> None:
        """Take away every trace of this backend, also those that another process left.

        Raises :class:`BackendError`.
        """


FEATURES = frozenset({
    "cluster-addresses",        # answers at the Service's own addresses, from nodes and pods
    "external-addresses",       # … and at externalIPs
    "affinity",                 # sessionAffinity ClientIP
    "client-address",           # externalTrafficPolicy Local: pods see the client
    "internal-policy",          # internalTrafficPolicy Local
    "allowed-sources",          # the allow list of nodePorts
    "localhost",                # nodePorts answer on 127.0.0.1
    "udp",                      # UDP at all
    "ipv6",                     # all of this at IPv6 addresses
})  # fmt: skip
"""All there is to promise beyond TCP on nodePorts."""

PROMISED = {
    "nftables": FEATURES - {"localhost"},
    "socat": frozenset({"affinity", "localhost", "udp", "ipv6"}),
}
"""What each backend promises; what happens instead is in its file."""


def get(name: str) -> Backend:
    """The backend of that name.

    Raises :class:`BackendError` when this nodeportd has none.
    """
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name} here, only {', '.join(BACKENDS)}")
    made: Backend = importlib.import_module(BACKENDS[name]).make()
    return made
