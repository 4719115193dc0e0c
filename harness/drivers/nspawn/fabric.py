"""The lab's network: one bridge in a namespace of its own, one port for each node. Nothing touches the host's own.

The port of a node, and the node's namespace, are made by its supervisor at every boot (``supervise.sh``).
"""

from __future__ import annotations

import json

from harness.drivers.nspawn.names import GATEWAY, NETNS, Names
from harness.errors import DriverError, RigError
from harness.support import process

_BRIDGE = (
    "link set lo up",
    "link add br0 type bridge",
    f"address add {GATEWAY}/24 dev br0",
    "link set br0 up",  # last: a bridge that is up is whole
)


def port(node: str) -> str:
    """The fabric's end of a node's cable."""
    return f"v-{node}"


def ports(names: Names) -> set[str] | None:
    """The ports that are plugged in, ``None`` when there is no whole fabric."""
    if not (NETNS / names.fabric).exists():
        return None
    done = process.run(["ip", "-n", names.fabric, "-json", "link", "show"])
    links = json.loads(done.out or "[]") if done.ok else []
    if not any(link["ifname"] == "br0" and "UP" in link["flags"] for link in links):
        return None
    return {link["ifname"] for link in links if link.get("master") == "br0"}


def make(names: Names) -> None:
    """Make the fabric; what was left of one that is not whole goes first.

    Raises :class:`DriverError`.
    """
    remove(names.fabric)
    try:
        process.check(["ip", "netns", "add", names.fabric], what="making the lab's network")
        process.check(["ip", "-n", names.fabric, "-batch", "-"], stdin="\n".join(_BRIDGE) + "\n",
                      what="making the lab's network")  # fmt: skip
    except RigError as error:
        raise DriverError(str(error), hint="`harness doctor` looks at what it needs") from error


def unplug(names: Names, node: str) -> None:
    """Remove a node's port at once: the kernel would do it in its own time after the namespace is gone."""
    if (NETNS / names.fabric).exists():
        process.run(["ip", "-n", names.fabric, "link", "delete", port(node)])


def remove(namespace: str) -> None:
    """Remove a namespace, if it is there; nothing may run in it any more."""
    if (NETNS / namespace).exists():
        process.run(["ip", "netns", "delete", namespace])
