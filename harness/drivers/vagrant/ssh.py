"""The two files of a Vagrant lab, from what one ``vagrant ssh-config`` said."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from harness.drivers import literal
from harness.errors import DriverError
from harness.model.cluster import Cluster

_WORD = re.compile(r"\s*([A-Za-z]+)\s+(.*\S)\s*")
_KEPT = ("HostName", "User", "Port", "IdentityFile", "ProxyCommand")

Hosts = Mapping[str, Mapping[str, str]]
"""By name of the machine: OpenSSH's words and their values, as Vagrant wrote them."""


def parse(text: str, wanted: Collection[str]) -> Hosts:
    """The ``Host`` blocks that Vagrant printed, only the words by which a machine is reached.

    Raises :class:`DriverError` when a wanted machine is not there, or has no address or key.
    """
    hosts: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        match = _WORD.fullmatch(line)
        if match is None:
            continue
        word, value = match.groups()
        if word == "Host":
            current = hosts.setdefault(value, {})
        elif hosts and word in _KEPT:
            current[word] = value
    lacking = [name for name in wanted if not {"HostName", "User", "Port", "IdentityFile"} <= set(hosts.get(name, {}))]
    if lacking:
        raise DriverError(f"Vagrant does not say how to reach {', '.join(lacking)}", hint="`vagrant status`")
    return {name: hosts[name] for name in wanted}


def config(cluster: Cluster, hosts: Hosts) -> str:
    """``ssh_config`` for plain ssh. Host keys are not known beforehand: each VM draws its own at its
    first boot, and the first question to it learns them; the probes accept no other."""
    blocks = "".join(
        f"Host {name} {address}\n" + "".join(f"  {word} {value}\n" for word, value in hosts[name].items()) + "\n"
        for name, address in ((node.name, node.address) for node in cluster.nodes)
    )
    return (
        f"# Lab {cluster.lab}, as `vagrant ssh-config` said\n\n{blocks}Host *\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {cluster.ssh_config.parent}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
        f"  HashKnownHosts no\n  StrictHostKeyChecking accept-new\n"
        f"  BatchMode yes\n  LogLevel ERROR\n  ConnectTimeout 10\n  ServerAliveInterval 5\n"
        f"  ControlMaster auto\n  ControlPersist 60\n  ControlPath {sockets()}/%C\n"
    )


def sockets() -> Path:
    """The folder of ssh's control sockets: short, for their paths may have 108 bytes only."""
    folder = Path(tempfile.gettempdir()) / f"nph-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def inventory(cluster: Cluster, hosts: Hosts) -> str:
    """``inventory.yml``; a user other than root becomes root by sudo."""
    ways = {
        node.name: {"ansible_become": hosts[node.name]["User"] != "root", "harness_release": node.release}
        for node in cluster.nodes
    }
    return literal.inventory(cluster, ways, {"ansible_python_interpreter": "/usr/bin/python3"})
