"""The lab's network: one bridge in a namespace of its own, one veth to each node. Nothing touches the host's own."""

from __future__ import annotations

from collections.abc import Iterable

from harness.drivers.nspawn.names import GATEWAY, NETNS, Names
from harness.errors import DriverError, RigError
from harness.model.cluster import Node
from harness.support import process


def make(names: Names, nodes: Iterable[Node]) -> None:
    """The fabric and the namespaces of ``nodes``, each made anew when it is not there.

    Raises :class:`DriverError`.
    """
    try:
        if not (NETNS / names.fabric).exists():
            _batch([f"netns add {names.fabric}"])
            _batch(["link set lo up", "link add br0 type bridge", "link set br0 up", f"addr add {GATEWAY}/24 dev br0"],
                   names.fabric)  # fmt: skip
        for node in nodes:
            if not (NETNS / names.machine(node.name)).exists():
                _attach(names, node)
    except RigError as error:
        raise DriverError(str(error), hint="`harness down` removes what is left of an earlier network") from error


def _attach(names: Names, node: Node) -> None:
    machine = names.machine(node.name)
    _batch([f"netns add {machine}"])
    _batch([f"link add v-{node.name} type veth peer name eth0 netns {machine}",
            f"link set v-{node.name} master br0 up"], names.fabric)  # fmt: skip
    _batch(["link set lo up", f"addr add {node.address}/24 dev eth0", "link set eth0 up"], machine)


def remove(namespace: str) -> None:
    """Remove one namespace; its end of a veth takes the other with it."""
    process.run(["ip", "netns", "delete", namespace])


def _batch(lines: list[str], namespace: str = "") -> None:
    inside = ["-n", namespace] if namespace else []
    process.check(["ip", *inside, "-batch", "-"], stdin="\n".join(lines) + "\n", what="making the lab's network")
