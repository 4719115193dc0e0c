"""The driver itself: what runs is compared with what is wished, and the difference is made."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from harness.drivers import Check, Console, Place, Progress, Snapshot, Wish
from harness.drivers.nspawn import (
    cgroups,
    disk,
    doctor,
    fabric,
    limits,
    lock,
    machine,
    recipe,
    root,
    snapshots,
    ssh,
    state,
)
from harness.drivers.nspawn.names import (
    CLIENTS,
    CLIENTS6,
    GATEWAY,
    GATEWAY6,
    MOST_NODES,
    SUBNETS,
    Names,
    node_address,
    node_address6,
    node_name,
)
from harness.drivers.nspawn.state import LabState
from harness.errors import DriverError, UsageError
from harness.model.cluster import Cluster, Node
from harness.support import interrupts, netns

_BOOT_SECONDS = 60.0
_AT_ONCE = 8
_CONSOLE_LINES = 15


@dataclass(frozen=True, slots=True)
class _Change:
    """What shall be, and how: ``kept`` nodes run on, ``off`` ones boot from their disks, ``new`` ones are made.

    ``new`` has the Debian root of each.
    """

    wished: LabState
    kept: Sequence[Node]
    off: Sequence[Node]
    new: Mapping[Node, Path]


class NspawnDriver:
    """The ``nspawn`` driver for one lab; see :class:`harness.drivers.Driver`."""

    makes_nodes = True
    boot_seconds = _BOOT_SECONDS
    anew = "`harness snapshot restore` puts kept disks back; `harness down` and `harness up` make all nodes anew"

    def __init__(self, place: Place) -> None:
        self.home = place.home.absolute()
        self.lab = place.lab
        self.record = place.record
        self.names = Names.of(place.home, place.lab)

    def doctor(self) -> Sequence[Check]:
        """What this machine needs for such nodes, and whether it is there."""
        return doctor.checks()

    def usual(self) -> Wish:
        """Three nodes of Debian 12."""
        return Wish()

    def planned(self, wish: Wish) -> Cluster:
        """The nodes that ``up`` would make, though they do not run."""
        return self._cluster(LabState("planned", str(self.home), _wished(wish, state.load(self.names))))

    def status(self) -> Cluster | None:
        """The lab when ``up`` finished, all its nodes run and are plugged in, and its two files are there."""
        known = state.load(self.names)
        if known is None or not known.ready or set(self._running(known.nodes)) != set(known.nodes):
            return None
        cluster = self._cluster(known)
        return cluster if cluster.inventory.exists() and cluster.ssh_config.exists() else None

    def up(self, wish: Wish, progress: Progress) -> Cluster:
        """Make, heal or resize the nodes: those that run stay as they are, those that are off boot from their disks."""
        wanted = _wished(wish, state.load(self.names))
        with lock.alone(self.names, self.lab):
            roots = {release: root.ensure(release, progress) for release in dict.fromkeys(wish.releases)}
            snapshots.carry_through(self.names, self.record)
            known = state.load(self.names)
            mine = [node for node in (known.nodes if known else ()) if node in wanted]
            kept = self._running(mine)
            off = [node for node in mine if node not in kept and disk.whole(self.names.folder / node.name)]
            used = {path.name for path in roots.values()} | set(known.roots if known and (kept or off) else ())
            uid = known.uid if known is not None and (kept or off) else secrets.token_hex(8)
            wished = LabState(uid, str(self.home), wanted, tuple(sorted(used)))
            new = {node: roots[node.release] for node in wanted if node not in (*kept, *off)}
            self._become(_Change(wished, kept, off, new), progress)
            root.tidy(state.used_roots())
            return self._cluster(wished)

    def down(self, progress: Progress) -> None:
        """Remove every trace of the lab, also of one that was never finished."""
        with lock.alone(self.names, self.lab):
            if self.names.folder.exists() or self.names.namespaces():
                progress("removing the nodes")
            ssh.close(self.names)
            machine.remove(self.names, machine.present(self.names))
            machine.kill([self.names.fabric])
            fabric.remove(self.names.fabric)
            shutil.rmtree(self.names.sockets, ignore_errors=True)
            shutil.rmtree(self.names.folder, ignore_errors=True)
            cluster = self._cluster(LabState("", "", ()))
            cluster.inventory.unlink(missing_ok=True)
            cluster.ssh_config.unlink(missing_ok=True)
            limits.put_back()
            root.tidy(state.used_roots())
            lock.forget(self.names)

    def save_snapshot(self, name: str, progress: Progress) -> Snapshot:
        """Hold all nodes still, keep their disks, let them run on."""
        with lock.alone(self.names, self.lab):
            known = state.load(self.names)
            if known is None or self.status() is None:
                raise DriverError(f"lab {self.lab!r} does not run (or not all of its nodes do)", hint="`harness up`")
            progress(f"keeping the disks of {len(known.nodes)} nodes")
            return snapshots.save(self.names, known, self.record, name)

    def restore_snapshot(self, name: str, progress: Progress) -> Cluster:
        """Lay out the kept disks, cut the nodes' power, and boot from what was kept."""
        with lock.alone(self.names, self.lab):
            snapshots.carry_through(self.names, self.record)
            progress(f"laying out the disks of {name}")
            wanted = snapshots.stage(self.names, self.record, name)
            with interrupts.held():
                snapshots.commit(self.names, wanted, name)
                progress("switching the nodes off")
                snapshots.carry_through(self.names, self.record)
                self._become(_Change(wanted, [], wanted.nodes, {}), progress)
            return self._cluster(wanted)

    def snapshots(self) -> Sequence[Snapshot]:
        """The kept states of this lab; they go with it."""
        return snapshots.known(self.names)

    def delete_snapshot(self, name: str) -> None:
        """Forget a kept state."""
        with lock.alone(self.names, self.lab):
            snapshots.delete(self.names, name)

    def console(self, node: Node, since: float) -> Console:
        """What the node's systemd said; nothing comes up any more once its supervisor has ended."""
        file = self.names.folder / node.name / "console.log"
        said = machine.console_tail(self.names, node.name, _CONSOLE_LINES).splitlines()
        recent = file.exists() and file.stat().st_mtime >= since
        ended = "" if machine.supervised(self.names, node.name) else "its machine has ended"
        return Console(file, tuple(said) if recent else (), ended)

    def reboot(self, nodes: Sequence[Node], progress: Progress) -> None:
        """``systemctl reboot`` on each; its supervisor then boots it with a new network."""
        progress(f"rebooting {len(nodes)} nodes")
        ssh.reboot(self._cluster(LabState("", "", tuple(nodes))))

    def power_cycle(self, nodes: Sequence[Node], progress: Progress) -> None:
        """Kill all that runs in these nodes, and boot them from their disks."""
        with lock.alone(self.names, self.lab):
            progress(f"cutting the power of {len(nodes)} nodes")
            machine.halt(self.names, [self.names.machine(node.name) for node in nodes])
            ssh.close(self.names, {node.address for node in nodes})
            with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
                list(pool.map(lambda node: machine.start(self.names, node), nodes))

    def _become(self, change: _Change, progress: Progress) -> None:
        """Change what there is into what is wished."""
        self.names.folder.mkdir(parents=True, exist_ok=True)
        wished, booting = change.wished, [*change.off, *change.new]
        halted = {self.names.machine(node.name) for node in change.off}
        kept = {self.names.machine(node.name) for node in change.kept}
        stale = machine.present(self.names) - kept - halted
        if booting or stale:
            state.save(self.names, replace(wished, ready=False))
        numbers = _numbers(self.names, stale | halted)
        ssh.close(self.names, {node_address(number, each) for number in numbers for each in (1, SUBNETS)})
        cgroups.thaw(kept)
        machine.halt(self.names, halted)
        machine.remove(self.names, stale)
        if fabric.ports(self.names) is None:
            machine.kill([self.names.fabric])
            fabric.make(self.names)
        if fabric.is_routed(wished.nodes):
            fabric.join(self.names)
        if any(node.address6 for node in wished.nodes):
            fabric.give_ipv6(self.names, routed=fabric.is_routed(wished.nodes))
        if booting or stale:
            fabric.introduce(self.names, wished.nodes, change.kept)
        if booting:
            self._boot(change, progress)
        cluster = self._cluster(wished)
        ssh.write_files(self.names, cluster)
        self._await(cluster)
        state.save(self.names, replace(wished, ready=True))

    def _boot(self, change: _Change, progress: Progress) -> None:
        booting = [*change.off, *change.new]
        limits.make_room(len(change.new), progress)  # disks that are there are counted already
        progress(f"starting {len(booting)} nodes")
        ssh.keys(self.names, change.wished.nodes)
        public_key = ssh.lab_key(self.names)

        def boot(node: Node) -> None:
            if node in change.new:
                machine.prepare(self.names, node, change.new[node], public_key)
            machine.start(self.names, node)

        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            list(pool.map(boot, booting))

    def _await(self, cluster: Cluster) -> None:
        silent = ssh.silent_nodes(self.names, cluster.nodes, within=_BOOT_SECONDS)
        if silent:
            tails = "\n".join(f"  {node.name}: {machine.console_tail(self.names, node.name)}" for node in silent)
            raise DriverError(f"no SSH within {_BOOT_SECONDS:g} s on:\n{tails}", hint="`harness down`, then again")
        refused = ssh.refused(cluster)
        if refused:
            lines = "\n".join(f"  {name}: {words}" for name, words in refused.items())
            raise DriverError(f"SSH does not let us in on:\n{lines}", hint="`harness down`, then again")

    def _running(self, nodes: Sequence[Node]) -> list[Node]:
        """Those of the nodes that run, with their cable plugged in."""
        ports = fabric.ports(self.names) or ()
        return [node for node in nodes
                if machine.runs(self.names, node.name) and fabric.port(node.name) in ports]  # fmt: skip

    def _cluster(self, known: LabState) -> Cluster:
        return Cluster(
            lab=self.lab,
            uid=known.uid,
            driver="nspawn",
            nodes=known.nodes,
            inventory=self.home / "inventory.yml",
            ssh_config=self.home / "ssh_config",
            client_netns=netns.FOLDER / self.names.fabric,
            client_address=GATEWAY,
            client_address6=GATEWAY6 if any(node.address6 for node in known.nodes) else "",
            client_range=CLIENTS,
            client_range6=CLIENTS6 if any(node.address6 for node in known.nodes) else "",
        )


def _numbers(names: Names, machines: set[str]) -> list[int]:
    suffixes = [name.removeprefix(names.machine("n")) for name in machines]
    return [int(suffix) for suffix in suffixes if suffix.isdigit()]


def _wished(wish: Wish, known: LabState | None) -> tuple[Node, ...]:
    """The nodes wished for, with IPv6 as those have that are there when the wish leaves that open.

    Raises :class:`UsageError` for a number or a release that cannot be.
    """
    if not 1 <= wish.count <= MOST_NODES:
        raise UsageError(f"{wish.count} nodes cannot be", hint=f"1 to {MOST_NODES}")
    if not 1 <= wish.subnets <= SUBNETS:
        raise UsageError(f"{wish.subnets} networks cannot be", hint=f"1 to {SUBNETS}")
    unknown = [release for release in wish.releases if release not in recipe.RELEASES]
    if unknown or not wish.releases:
        raise UsageError(
            f"there is no node root for {', '.join(unknown) or 'no release'}",
            hint=f"known releases: {', '.join(recipe.RELEASES)}",
        )
    dual = wish.dual_stack
    if dual is None:
        dual = known is not None and any(node.address6 for node in known.nodes)
    return tuple(
        Node(
            node_name(number),
            node_address(number, wish.subnets),
            wish.releases[(number - 1) % len(wish.releases)],
            address6=node_address6(number, wish.subnets) if dual else "",
        )
        for number in range(1, wish.count + 1)
    )
