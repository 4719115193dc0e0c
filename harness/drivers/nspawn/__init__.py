"""Nodes as systemd-nspawn system containers: real systemd, sshd and nftables, three of them in about two seconds.

Each node is an overlay over one shared Debian root, with a network namespace of its own that a bridge in the
*fabric* namespace joins to the others and to the outside client. What a node is made of lives in
``/var/lib/nodeport-harness/labs/<id>/``; its mount lives in its supervisor's mount namespace alone.
"""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness.drivers import Check, Progress, Wish
from harness.drivers.nspawn import doctor, fabric, limits, machine, root, ssh
from harness.drivers.nspawn.names import LABS, NETNS, Names, node_address, node_name
from harness.drivers.nspawn.state import LabState, load, save
from harness.errors import DriverError
from harness.model.cluster import Cluster, Node

_BOOT_SECONDS = 60.0


class NspawnDriver:
    """The ``nspawn`` driver for one lab; see :class:`harness.drivers.Driver`."""

    def __init__(self, home: Path, lab: str) -> None:
        self.home = home
        self.lab = lab
        self.names = Names.of(home, lab)

    def doctor(self) -> Sequence[Check]:
        """What this machine needs for such nodes, and whether it is there."""
        return doctor.checks()

    def planned(self, wish: Wish) -> Cluster:
        """The nodes that ``up`` would make, though they do not run."""
        return self._cluster(LabState("planned", str(self.home), _wished(wish)))

    def status(self) -> Cluster | None:
        """The lab when all its nodes run and its two files are there."""
        state = load(self.names)
        if state is None or not all(self._runs(node) for node in state.nodes):
            return None
        cluster = self._cluster(state)
        return cluster if cluster.inventory.exists() and cluster.ssh_config.exists() else None

    def up(self, wish: Wish, progress: Progress) -> Cluster:
        """Make, heal or resize the nodes; nodes that are as wished stay as they are."""
        with self._alone():
            state = load(self.names)
            wanted = _wished(wish)
            roots = {release: root.ensure(release, progress) for release in dict.fromkeys(wish.releases)}
            kept = {node for node in (state.nodes if state else ()) if node in wanted and self._runs(node)}
            uid = state.uid if state is not None and kept else secrets.token_hex(8)
            self._remove_others({self.names.machine(node.name) for node in kept})
            self.names.folder.mkdir(parents=True, exist_ok=True)
            save(self.names, LabState(uid, str(self.home), wanted))
            cluster = self._cluster(LabState(uid, str(self.home), wanted))
            new = [node for node in wanted if node not in kept]
            self._start(new, roots, progress)
            ssh.write_files(self.names, cluster)
            if new:
                progress(f"waiting for SSH on {len(new)} nodes")
            self._await(cluster)
            return cluster

    def down(self, progress: Progress) -> None:
        """Remove every trace of the lab, also of one that was never finished."""
        with self._alone():
            if self.names.folder.exists() or self.names.namespaces():
                progress("removing the nodes")
            ssh.close(self.names)
            self._remove_others(set())
            machine.kill(self.names, [self.names.fabric])
            fabric.remove(self.names.fabric)
            shutil.rmtree(self.names.sockets, ignore_errors=True)
            shutil.rmtree(self.names.folder, ignore_errors=True)
            cluster = self._cluster(LabState("", "", ()))
            cluster.inventory.unlink(missing_ok=True)
            cluster.ssh_config.unlink(missing_ok=True)
            limits.put_back()
        (LABS / f"{self.names.id}.lock").unlink(missing_ok=True)

    def _start(self, nodes: Sequence[Node], roots: dict[str, Path], progress: Progress) -> None:
        if nodes:
            limits.make_room(len(nodes), progress)
            progress(f"starting {len(nodes)} nodes")
        fabric.make(self.names, nodes)
        ssh.keys(self.names, load_nodes(self.names))
        public_key = ssh.lab_key(self.names)

        def boot(node: Node) -> None:
            machine.prepare(self.names, node, self.names.folder / "keys" / node.name, public_key)
            machine.start(self.names, node, roots[node.release])

        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(boot, nodes))

    def _await(self, cluster: Cluster) -> None:
        silent = ssh.silent_nodes(self.names, cluster.nodes, within=_BOOT_SECONDS)
        if silent:
            tails = "\n".join(f"  {node.name}: {machine.console_tail(self.names, node.name)}" for node in silent)
            raise DriverError(f"no SSH within {_BOOT_SECONDS:g} s on:\n{tails}", hint="`harness down`, then again")
        refused = ssh.refused(cluster)
        if refused:
            lines = "\n".join(f"  {name}: {words}" for name, words in refused.items())
            raise DriverError(f"SSH does not let us in on:\n{lines}", hint="`harness down`, then again")

    def _remove_others(self, kept: set[str]) -> None:
        """Kill and remove every machine of this lab that is not kept: no longer wished, half dead, or half made."""
        prefix = self.names.machine("")
        folders = {prefix + path.name for path in self.names.folder.glob("n*") if path.is_dir()}
        spaces = {path.name for path in self.names.namespaces()} - {self.names.fabric}
        others = (folders | spaces) - kept
        machine.kill(self.names, others)
        for name in sorted(others):
            fabric.remove(name)
            shutil.rmtree(self.names.folder / name.removeprefix(prefix), ignore_errors=True)

    def _runs(self, node: Node) -> bool:
        return machine.runs(self.names, node.name) and (NETNS / self.names.machine(node.name)).exists()

    def _cluster(self, state: LabState) -> Cluster:
        return Cluster(
            lab=self.lab,
            uid=state.uid,
            driver="nspawn",
            nodes=state.nodes,
            inventory=self.home / "inventory.yml",
            ssh_config=self.home / "ssh_config",
            client_netns=NETNS / self.names.fabric,
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        LABS.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(parents=True, exist_ok=True)
        with (LABS / f"{self.names.id}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DriverError(f"another process is changing lab {self.lab!r}", hint="wait for it to end") from None
            yield


def _wished(wish: Wish) -> tuple[Node, ...]:
    releases = wish.releases
    return tuple(
        Node(node_name(number), node_address(number), releases[(number - 1) % len(releases)])
        for number in range(1, wish.count + 1)
    )


def load_nodes(names: Names) -> tuple[Node, ...]:
    """The nodes that the lab shall have, as remembered."""
    state = load(names)
    return state.nodes if state else ()
