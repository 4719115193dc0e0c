"""Names of one lab: drawn from its folder, so that two labs on one machine never meet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.support import netns

LABS = Path("/var/lib/nodeport-harness/labs")
GATEWAY = "192.168.56.1"
"""The outside client's address, in the fabric."""

GATEWAY6 = "fd00:192:168:56::1"
"""Its IPv6 address, on a network of two families (RFC 4193: unique local)."""

ROUTED, ROUTED6 = "192.168.56.0/23", "fd00:192:168:56::/63"
"""All of the lab's networks: that of the gateway, and the second one that nodes may be on."""
SUBNETS = 2

CLIENTS = "198.18.0.0/15"
"""Addresses of many clients outside, all of them in the fabric (RFC 2544: for tests of networks, never routed)."""
CLIENTS6 = "2001:2::/64"
"""The same of IPv6, where nodes have it (RFC 5180)."""
MOST_NODES = 200
"""As many as have an address in the /24, with some to spare."""


@dataclass(frozen=True, slots=True)
class Names:
    """Everything of one lab that has a name on this machine."""

    id: str

    @classmethod
    def of(cls, home: Path, lab: str) -> Names:
        """The names of the lab ``lab`` kept in the folder ``home``."""
        return cls(hashlib.sha256(f"{home.resolve()}\n{lab}".encode()).hexdigest()[:6])

    @property
    def folder(self) -> Path:
        """Overlays, keys and state of the lab."""
        return LABS / self.id

    @property
    def sockets(self) -> Path:
        """SSH control sockets: a short path, because a socket's may have 107 characters at most (unix(7))."""
        return Path("/run") / f"nph-{self.id}"

    @property
    def lock(self) -> Path:
        """Held by whoever changes the lab."""
        return LABS / f"{self.id}.lock"

    @property
    def fabric(self) -> str:
        """The namespace with the bridge and the outside client."""
        return f"nph-{self.id}-fabric"

    def machine(self, node: str) -> str:
        """A node's machine name and network namespace."""
        return f"nph-{self.id}-{node}"

    def mac(self, address: str) -> str:
        """The hardware address that goes with a node's address: the same after a reboot, so no neighbour is misled."""
        octets = (0x02, *bytes.fromhex(self.id), *(int(part) for part in address.split(".")[2:]))
        return ":".join(f"{octet:02x}" for octet in octets)

    def namespaces(self) -> tuple[Path, ...]:
        """The namespaces of this lab that exist now."""
        return tuple(sorted(netns.FOLDER.glob(f"nph-{self.id}-*")))


def node_name(number: int) -> str:
    """The name of the node ``number``, from 1."""
    return f"n{number}"


def node_address(number: int, subnets: int = 1) -> str:
    """The address of the node ``number``, from 1: 192.168.56.11 is the first, 192.168.57.12 may be the second."""
    return f"192.168.{56 + (number - 1) % subnets}.{10 + number}"


def node_address6(number: int, subnets: int = 1) -> str:
    """Its IPv6 address, where it has one: the same digits, fd00:192:168:56::11."""
    return f"fd00:192:168:{56 + (number - 1) % subnets}::{10 + number}"


def router6(address6: str) -> str:
    """The first address of the IPv6 network of a node; empty where it has none."""
    network, found, _ = address6.partition("::")
    return f"{network}::1" if found else ""
