"""Machines that are there already: found in an inventory, checked, and described by the two files."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.drivers import Check, Place, Progress, Wish, literal
from harness.drivers.static import inventory
from harness.drivers.static.inventory import Machine
from harness.errors import DriverError, UsageError
from harness.model.cluster import Cluster, Missing, Node
from harness.support import process
from harness.support.files import write_atomic

_read = cache(inventory.read)
"""Ansible takes most of a second to read an inventory, and one command asks more than once."""


class StaticDriver:
    """The ``static`` driver for one lab; see :class:`harness.drivers.Driver`."""

    makes_nodes = False

    def __init__(self, place: Place) -> None:
        self.home = place.home.absolute()
        self.lab = place.lab
        self._given = place.inventory
        self._accept_new = place.accept_new
        self._become_password = place.become_password

    @property
    def source(self) -> Path:
        """The inventory: the one given now, else the one that the last ``up`` was given.

        Raises :class:`UsageError` when there was none.
        """
        known = self._known()
        if self._given is None and "inventory" not in known:
            raise UsageError("the driver static needs an inventory", hint="-i PATH, or `inventory` in harness.toml")
        return self._given.absolute() if self._given is not None else Path(known["inventory"])

    def doctor(self) -> Sequence[Check]:
        """An SSH client here, and the inventory; what machines lack is said by ``up`` and by the role preflight."""
        found = shutil.which("ssh")
        ssh = Check("ssh", found is not None, found or "not found", "apt-get install openssh-client")
        if found is None:  # which is asked for the way in
            return [ssh]
        try:
            names = [machine.name for machine in _read(self.source)]
        except UsageError as error:
            mend = error.hint or f"ansible-inventory -i {self.source} --list shows what Ansible reads"
            return [ssh, Check("inventory", ok=False, found=error.message, mend=mend)]
        return [ssh, Check("inventory", ok=True, found=f"{self.source}: {', '.join(names)}")]

    def usual(self) -> Wish:
        """As many nodes as the inventory has."""
        return Wish(count=len(_read(self.source)))

    def planned(self, wish: Wish) -> Cluster:
        """The machines of the inventory, whether they answer or not."""
        machines = self._wished(wish)
        return self._cluster(machines, self._known().get("uid", "planned"))

    def status(self) -> Cluster | None:
        """The machines, once ``up`` has found that each answers; ``None`` after the inventory changed."""
        known = self._known()
        if not known or (self._given is not None and known["inventory"] != str(self._given.absolute())):
            return None
        machines = _read(self.source)
        missing = {name: str(why) for name, why in dict(known.get("missing", {})).items()}
        cluster = self._cluster(machines, str(known["uid"]), missing)
        same = known["digest"] == _digest(machines)
        return cluster if same and cluster.inventory.exists() and cluster.ssh_config.exists() else None

    def up(self, wish: Wish, progress: Progress) -> Cluster:
        """Write the two files and ask every machine over SSH; nothing on the machines is changed.

        Machines that cannot be used are told as ``missing``. Raises :class:`DriverError` when all are.
        """
        machines = self._wished(wish)
        whole = self._cluster(machines, str(self._known().get("uid") or secrets.token_hex(8)))
        write_atomic(whole.ssh_config, _ssh_config(whole, machines))
        write_atomic(whole.inventory, literal.inventory(whole, _ways(machines)), mode=0o600)
        progress(f"asking {len(machines)} machines over SSH")
        names = [machine.name for machine in machines]
        missing = inventory.unreachable(whole.ssh_config, names, accept_new=self._accept_new)
        by_sudo = [machine.name for machine in machines if machine.by_sudo and machine.name not in missing]
        passwords = {name: whole.become_passwords.get(name) or self._become_password for name in by_sudo}
        missing |= inventory.refused(whole.ssh_config, passwords)
        for name, why in missing.items():
            progress(f"{name} cannot be used: {why}")
        if len(missing) == len(machines):
            raise inventory.complain(self.source, missing, whole.ssh_config)
        there = [name for name in names if name not in missing]
        addresses = inventory.addresses(whole.ssh_config, there)
        cluster = self._cluster(machines, whole.uid, missing)
        write_atomic(cluster.inventory, literal.inventory(cluster, _ways(machines)), mode=0o600)
        kept = {
            "inventory": str(self.source), "uid": cluster.uid, "digest": _digest(machines), "missing": missing,
            "addresses": addresses,
        }  # fmt: skip
        write_atomic(self._state, json.dumps(kept) + "\n", mode=0o600)
        return self._cluster(machines, whole.uid, missing)

    def down(self, progress: Progress) -> None:
        """Forget the machines, which stay as they are: how to take our work off them is said, not done."""
        if self._known():
            playbook = Path(__file__).parents[3] / "playbooks" / "reset.yml"
            told = shlex.join(["ansible-playbook", "-i", str(self.home / "inventory.yml"), str(playbook)])
            progress(f"the machines stay as they are; `harness down --reset` takes off what was installed, or {told}")
        self._state.unlink(missing_ok=True)

    @property
    def _state(self) -> Path:
        return self.home / "static.json"

    def _known(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known

    def _wished(self, wish: Wish) -> tuple[Machine, ...]:
        machines = _read(self.source)
        if wish.subnets != 1:
            raise UsageError("--subnets is for nodes of the driver nspawn", hint="leave it out")
        if wish.count != len(machines):
            raise UsageError(
                f"{wish.count} nodes are asked for, but {self.source} has {len(machines)}",
                hint="leave --nodes out, and add machines to the inventory",
            )
        if wish.dual_stack:
            raise UsageError(
                "machines have the addresses they have", hint="nodeport_address6 of each says its IPv6 one"
            )
        return machines

    def _cluster(self, machines: Sequence[Machine], uid: str, missing: Mapping[str, str] | None = None) -> Cluster:
        without = missing or {}
        netns = {machine.client_netns for machine in machines if machine.client_netns}
        client = {machine.client_address for machine in machines if machine.client_address}
        client6 = {machine.client_address6 for machine in machines if machine.client_address6}
        clients = {machine.client_range for machine in machines if machine.client_range}
        clients6 = {machine.client_range6 for machine in machines if machine.client_range6}
        return Cluster(
            lab=self.lab,
            uid=uid,
            driver="static",
            nodes=tuple(
                _node(machine, self._known().get("addresses", {}).get(machine.name, ()))
                for machine in machines
                if machine.name not in without
            ),
            inventory=self.home / "inventory.yml",
            ssh_config=self.home / "ssh_config",
            client_netns=Path(netns.pop()) if netns else None,
            client_address=client.pop() if client else "",
            client_range=clients.pop() if clients else "",
            client_address6=client6.pop() if client6 else "",
            client_range6=clients6.pop() if clients6 else "",
            missing=tuple(Missing(name, why) for name, why in without.items()),
            become_passwords=self._passwords(machines),
        )

    def _passwords(self, machines: Sequence[Machine]) -> dict[str, str]:
        given = {"": self._become_password} if self._become_password else {}
        return given | {machine.name: machine.become_password for machine in machines if machine.become_password}


def _node(machine: Machine, addresses: Sequence[str]) -> Node:
    others = tuple(each for each in addresses if each.partition("/")[0] != machine.address)
    return Node(
        machine.name, machine.address, forwarder=machine.forwarder, other_addresses=others,
        pod_network=machine.pod_network, address6=machine.address6,
        nodeport_addresses=machine.nodeport_addresses,
    )  # fmt: skip


def _digest(machines: Sequence[Machine]) -> str:
    return hashlib.sha256(
        repr([(m.name, m.address, m.address6, m.ssh, sorted(m.variables.items())) for m in machines]).encode()
    ).hexdigest()


def _ssh_config(cluster: Cluster, machines: Sequence[Machine]) -> str:
    sockets = Path(tempfile.gettempdir()) / f"nph-{os.getuid()}"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if sockets.is_symlink() or sockets.stat().st_uid != os.getuid() or sockets.stat().st_mode & 0o077:
        raise DriverError(
            f"{sockets} is not ours alone, so SSH's control sockets cannot be there", hint=f"rm -r {sockets}"
        )
    hosts = "".join(
        f"Host {machine.name}\n" + "".join(f"  {word} {value}\n" for word, value in lasting(machine.ssh)) + "\n"
        for machine in machines
    )
    # ssh's own %C knows nothing of the way to a host: another lab's 10.0.0.1 behind another gate has the same.
    ours = hashlib.sha256(f"{cluster.uid} {cluster.ssh_config} {_digest(machines)}".encode()).hexdigest()[:12]
    return (
        f"# The machines of lab {cluster.lab}, as OpenSSH itself resolves them: ssh -F FILE {machines[0].name}\n\n"
        f"{hosts}Host *\n  BatchMode yes\n  LogLevel ERROR\n  ConnectTimeout 10\n  ServerAliveInterval 5\n"
        f"  ControlMaster auto\n  ControlPersist 60\n  ControlPath {sockets}/{ours}-%C\n"
    )


def lasting(way: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The way to a machine, with a ``ProxyCommand`` that lives as long as the connection that questions share.

    The first question starts both. Ended together with that question, it would cut off the next one, or have every
    question make a connection anew.
    """
    passes = dict(way).get("proxyusefdpass", "no") == "yes"  # then it ends before the connection begins
    for word, value in way:
        lasts = word == "proxycommand" and value != "none" and not passes
        yield word, f"{process.APART} {value}" if lasts else value


def _ways(machines: Sequence[Machine]) -> dict[str, Mapping[str, object]]:
    return {machine.name: machine.variables for machine in machines}
