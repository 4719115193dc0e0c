"""SSH of one lab: keys, exact host keys, and the two files by which everything reaches the nodes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.drivers import literal
from harness.drivers.nspawn.machine import process_table
from harness.drivers.nspawn.names import Names
from harness.errors import DriverError
from harness.model.cluster import Cluster, Node
from harness.support import netns, process
from harness.support.files import write_atomic

_FDPASS = Path(__file__).with_name("fdpass.py")
_AWAIT = Path(__file__).with_name("await_ssh.py")


def keys(names: Names, nodes: Sequence[Node]) -> None:
    """The lab's own key and a host key for each node, made where they are missing; known_hosts is then exact."""
    folder = names.folder / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    missing = [name for name in ("lab", *(node.name for node in nodes)) if not (folder / f"{name}.pub").exists()]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda name: _keygen(folder / name), missing))
    known = (f"{node.name},{node.address} {_public(folder / node.name)}" for node in nodes)
    write_atomic(folder / "known_hosts", "\n".join(known) + "\n")


def _keygen(key: Path) -> None:
    key.unlink(missing_ok=True)
    process.check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key.name, "-f", key], what="making an SSH key")


def _public(key: Path) -> str:
    kind, value = Path(f"{key}.pub").read_text().split()[:2]
    return f"{kind} {value}"


def lab_key(names: Names) -> str:
    """The lab's public key, a line for authorized_keys."""
    return Path(names.folder / "keys" / "lab.pub").read_text()


def write_files(names: Names, cluster: Cluster) -> None:
    """Leave ``ssh_config`` and ``inventory.yml``: literal values only, nothing to be worked out later."""
    names.sockets.mkdir(mode=0o700, exist_ok=True)
    write_atomic(cluster.ssh_config, config(names, cluster))
    write_atomic(cluster.inventory, inventory(cluster))


def config(names: Names, cluster: Cluster) -> str:
    """``ssh_config``, see ssh_config(5): ``ssh -F`` it from anywhere on this machine."""
    hosts = "".join(f"Host {node.name} {node.address}\n  HostName {node.address}\n\n" for node in cluster.nodes)
    keys_folder = names.folder / "keys"
    inside = ["nsenter", f"--net={netns.FOLDER / names.fabric}", sys.executable, "-SE", str(_FDPASS)]
    proxy = shlex.join(inside).replace("%", "%%")
    return (
        f"# Lab {cluster.lab}: ssh -F {shlex.quote(str(cluster.ssh_config))} {cluster.nodes[0].name}\n\n{hosts}Host *\n"
        f"  User root\n  IdentityFile {keys_folder / 'lab'}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {keys_folder / 'known_hosts'}\n  GlobalKnownHostsFile /dev/null\n"
        f"  StrictHostKeyChecking yes\n  LogLevel ERROR\n  ConnectTimeout 5\n  ServerAliveInterval 5\n"
        f"  ControlMaster auto\n  ControlPersist 300\n  ControlPath {names.sockets}/%r@%h\n"
        f"  ProxyUseFdpass yes\n  ProxyCommand {proxy} %h %p\n"
    )


def inventory(cluster: Cluster) -> str:
    """``inventory.yml``."""
    everywhere = {
        "ansible_python_interpreter": "/usr/bin/python3",
        "harness_client_netns": str(cluster.client_netns),
    }
    ways = {
        node.name: {"ansible_host": node.address, "ansible_user": "root", "harness_release": node.release}
        for node in cluster.nodes
    }
    return literal.inventory(cluster, ways, everywhere)


def silent_nodes(names: Names, nodes: Sequence[Node], within: float) -> list[Node]:
    """The nodes that send no SSH banner within so many seconds."""
    done = process.run(
        ["nsenter", f"--net={netns.FOLDER / names.fabric}", sys.executable, "-SE", _AWAIT, str(within),
         *(node.address for node in nodes)],
        timeout=within + 30,
    )  # fmt: skip
    return [node for node in nodes if node.address in done.out.split()]


def refused(cluster: Cluster) -> dict[str, str]:
    """The nodes on which a command by SSH does not work, and the last words of ssh. Leaves masters for later use."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = list(pool.map(lambda node: process.run(["ssh", "-F", cluster.ssh_config, "-o", "BatchMode=yes",
                                                          node.name, "true"]), cluster.nodes))  # fmt: skip
    return {node.name: done.last_words() for node, done in zip(cluster.nodes, answers, strict=True) if not done.ok}


def reboot(cluster: Cluster) -> None:
    """Have every node of this cluster reboot itself.

    Raises :class:`DriverError` for those that will not; a connection that ends with its node (255) is none of them.
    """

    def one(node: Node) -> process.Completed:
        return process.run(["ssh", "-F", cluster.ssh_config, "-o", "BatchMode=yes", node.name, "systemctl", "reboot"])

    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = zip(cluster.nodes, pool.map(one, cluster.nodes), strict=True)
        amiss = [f"{node.name}: {done.last_words()}" for node, done in answers if done.code not in (0, 255)]
    if amiss:
        raise DriverError("; ".join(amiss), hint="`harness reboot --hard` asks no node")


def close(names: Names, addresses: Collection[str] | None = None) -> None:
    """End the control masters to some nodes, or (``None``) all of this lab: they would lead to machines long gone."""
    prefix = f"ssh: {names.sockets}/".encode()
    ends = None if addresses is None else tuple(f"@{address} [mux]".encode() for address in addresses)
    for pid, words in process_table():
        if words[0].startswith(prefix) and (ends is None or words[0].rstrip().endswith(ends)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for control in list(names.sockets.glob("*")):
        if addresses is None or control.name.partition("@")[2] in addresses:
            control.unlink(missing_ok=True)
