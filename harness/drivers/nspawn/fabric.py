"""The lab's network: a bridge in a namespace of its own, one port for each node. Nothing touches the host's own.

Nodes may be on two networks: then there are two bridges, and the namespace is a strict router between them, which drops
what does not come from where it would send the answer to, pods' own addresses for one.

The port of a node, and the node's namespace, are made by its supervisor at every boot (``supervise.sh``).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from harness.drivers.nspawn.names import (
    CLIENTS,
    CLIENTS6,
    GATEWAY,
    GATEWAY6,
    ROUTED,
    ROUTED6,
    SUBNETS,
    Names,
    node_address,
    node_address6,
    router6,
)
from harness.errors import DriverError, RigError
from harness.model.cluster import Node
from harness.support import netns, process
from harness.support.files import write_atomic

_BRIDGE = (
    "link set lo up",
    "link add br0 type bridge",
    f"address add {GATEWAY}/24 dev br0",
    f"route add local {CLIENTS} dev lo",
    "link set br0 up",  # last: a bridge that is up is whole
)


_FAR_GATEWAY = f"{node_address(SUBNETS, SUBNETS).rpartition('.')[0]}.1"
_SECOND = (
    "link add br1 type bridge",
    f"address add {_FAR_GATEWAY}/24 dev br1 noprefixroute",
    "link set br1 up",
    f"route add {_FAR_GATEWAY.removesuffix('.1')}.0/24 dev br1 src {GATEWAY}",  # the client has one address
)
_PODS6 = "fd00:10:244::/56"
_IPV6 = (f"address replace {GATEWAY6}/64 dev br0 nodad", f"route replace local {CLIENTS6} dev lo")
_FAR_GATEWAY6 = router6(node_address6(SUBNETS, SUBNETS))
_IPV6_OF_SECOND = (
    f"address replace {_FAR_GATEWAY6}/64 dev br1 nodad noprefixroute",
    f"route replace {_FAR_GATEWAY6.removesuffix('1')}/64 dev br1 src {GATEWAY6}",
)
_STRICT6 = (("rule", "flush", "priority", "100"), ("rule", "add", "priority", "100", "from", _PODS6, "blackhole"))
"""IPv6 has no reverse path filter: what comes from pods' own addresses is dropped by name."""
_ROUTER6 = "net.ipv6.conf.all.forwarding=1"
_ROUTER = ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1")

_TABLE = 512


def port(node: str) -> str:
    """The fabric's end of a node's cable."""
    return f"v-{node}"


def ports(names: Names) -> set[str] | None:
    """The ports that are plugged in, ``None`` when there is no whole fabric."""
    if not (netns.FOLDER / names.fabric).exists():
        return None
    done = process.run(["ip", "-n", names.fabric, "-json", "link", "show"])
    links = json.loads(done.out or "[]") if done.ok else []
    if not any(link["ifname"] == "br0" and "UP" in link["flags"] for link in links):
        return None
    return {link["ifname"] for link in links if link.get("master") in ("br0", "br1")}


def make(names: Names) -> None:
    """Make the fabric; what was left of one that is not whole goes first.

    Raises :class:`DriverError`.
    """
    remove(names.fabric)
    try:
        netns.add(names.fabric)
        process.check(["ip", "-n", names.fabric, "-batch", "-"], stdin="\n".join(_BRIDGE) + "\n",
                      what="making the lab's network")  # fmt: skip
    except RigError as error:
        raise DriverError(str(error), hint="`harness doctor` looks at what it needs") from error


def join(names: Names) -> None:
    """Make the second network of a fabric, and the fabric a router between both; called again it does nothing.

    Raises :class:`DriverError`.
    """
    if process.run(["ip", "-n", names.fabric, "link", "show", "br1"]).ok:
        return
    try:
        process.check(["ip", "-n", names.fabric, "-batch", "-"], stdin="\n".join(_SECOND) + "\n",
                      what="making the lab's second network")  # fmt: skip
        process.check(["ip", "netns", "exec", names.fabric, "sysctl", "-qw", *_ROUTER], what="making a router")
    except RigError as error:
        raise DriverError(str(error), hint="`harness doctor` looks at what it needs") from error


def is_routed(nodes: Sequence[Node]) -> bool:
    """Whether these nodes are on more than one network."""
    return len({node.address.rpartition(".")[0] for node in nodes}) > 1


def give_ipv6(names: Names, *, routed: bool) -> None:
    """Give the outside client its IPv6 addresses, if it has none yet.

    Raises :class:`DriverError`.
    """
    words = _IPV6 + (_IPV6_OF_SECOND if routed else ())
    try:
        process.check(["ip", "-n", names.fabric, "-batch", "-"], stdin="\n".join(words) + "\n",
                      what="giving the lab's network IPv6")  # fmt: skip
        if routed:
            process.check(["ip", "netns", "exec", names.fabric, "sysctl", "-qw", _ROUTER6], what="making a router")
            for rule in _STRICT6:
                process.check(["ip", "-n", names.fabric, "-6", *rule], what="making a router that is strict")
    except RigError as error:
        raise DriverError(str(error), hint="`harness up --ip-families IPv4` does without") from error


def neighbours(names: Names, nodes: Sequence[Node]) -> str:
    """What each of these nodes is to know of neighbours and clients beforehand, as an ``ip -batch`` file.

    ``GATEWAY`` and ``ROUTER6`` in it are the gateways of the node's own network, by which it reaches the other one.
    Of single neighbours nothing, as on any network, while they are few. The kernel keeps one table of neighbours
    for all namespaces (arp(7): 512 entries, 1024 at most), which many nodes that all talk to each other would
    overflow, and then packets are lost that no node has lost; entries made by hand do not count.
    """
    many = len(nodes) ** 2 > _TABLE
    known = [
        f"neighbour replace {address} lladdr {names.mac(node.address)} dev eth0 nud permanent"
        for node in nodes
        for address in (node.address, node.address6)
        if address
    ]
    others = [f"route replace {ROUTED} via GATEWAY"] if is_routed(nodes) else []
    if any(node.address6 for node in nodes):
        others += [f"route replace {CLIENTS6} via ROUTER6"]
        others += [f"route replace {ROUTED6} via ROUTER6"] if is_routed(nodes) else []
    return "\n".join(["neighbour flush dev eth0 nud permanent", *others, *(known if many else [])]) + "\n"


def introduce(names: Names, nodes: Sequence[Node], running: Sequence[Node]) -> None:
    """Leave word of the neighbours for every node's next boot, and tell those that are ``running``.

    Raises :class:`DriverError`.
    """
    told = neighbours(names, nodes)
    write_atomic(names.folder / "neighbours", told)
    try:
        for node in running:
            book = told.replace("GATEWAY", f"{node.address.rpartition('.')[0]}.1")
            book = book.replace("ROUTER6", router6(node.address6))
            process.check(["ip", "-n", names.machine(node.name), "-batch", "-"], stdin=book,
                          what=f"telling {node.name} of others")  # fmt: skip
    except RigError as error:
        raise DriverError(str(error), hint="`harness down`, then again") from error


def unplug(names: Names, node: str) -> None:
    """Remove a node's port at once: the kernel would do it in its own time after the namespace is gone."""
    if (netns.FOLDER / names.fabric).exists():
        process.run(["ip", "-n", names.fabric, "link", "delete", port(node)])


def remove(namespace: str) -> None:
    """Remove a namespace, if it is there; nothing may run in it any more."""
    with contextlib.suppress(RigError):
        netns.delete(namespace)
