"""The driver ``vagrant``: has Vagrant make the machines of the folder, and describes them by the two files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from harness.drivers import Check, Console, Place, Progress, Snapshot, Wish
from harness.drivers.vagrant import acceleration, client, console, domains, host, program, settings, snapshots, ssh
from harness.errors import DriverError, UsageError
from harness.model.cluster import Cluster, Node
from harness.support import clock, interrupts, process
from harness.support.files import write_atomic

_ANEW = (
    "the other machines run on. Made anew: `vagrant destroy -f NODE`, `harness up`, `harness apply`; with its disk as "
    "kept: `harness snapshot restore`. Too little `memory` in inventories/vagrant/nodes.yml looks like this too"
)


class VagrantDriver:
    """The ``vagrant`` driver for one lab; see :class:`harness.drivers.Driver`."""

    makes_nodes = True
    boot_seconds = 240.0
    anew = _ANEW

    def __init__(self, place: Place) -> None:
        self.place = place
        self.home = place.home.absolute()
        self.lab = place.lab
        self.folder = place.folder

    def doctor(self) -> Sequence[Check]:
        """Vagrant, a provider that answers, and what the guests run under."""
        checks = []
        for name, package in (("vagrant", "vagrant vagrant-libvirt"), ("qemu-system-x86_64", "qemu-system-x86"),
                                 ("virsh", "libvirt-clients libvirt-daemon-system"), ("socat", "socat")):  # fmt: skip
            found = shutil.which(name)
            checks.append(Check(name, found is not None, found or "not found", f"apt-get install {package}"))
        if shutil.which("virsh"):
            done = process.run(["virsh", "-c", "qemu:///system", "version"], timeout=30)
            found = "answers" if done.ok else done.last_words()
            checks.append(Check("libvirt", done.ok, found, "start libvirtd; without systemd: make vm-host"))
        return [*checks, acceleration.check()]

    def usual(self) -> Wish:
        """As many machines as ``nodes.yml`` has."""
        return Wish(count=len(settings.read(self.folder)))

    def planned(self, wish: Wish) -> Cluster:
        """The machines of ``nodes.yml``, whether they run or not."""
        return self._cluster(self._wished(wish))

    def status(self) -> Cluster | None:
        """The machines that Vagrant has made here, by whoever called it, once all of them answer to SSH.

        Raises :class:`DriverError` when they run but Vagrant does not say how to reach them.
        """
        machines = settings.read(self.folder)
        if {machine.name for machine in machines} - settings.alive(self.folder):
            return None
        cluster = self._cluster(machines)
        if not self._described():
            self._describe(cluster)
        client.join(cluster)
        return None if _silent(cluster) else cluster

    def up(self, wish: Wish, progress: Progress) -> Cluster:
        """``vagrant up``, then two files and one question to every machine. Forgotten domains go first."""
        machines = self._wished(wish)
        with self._locked():
            self._clear(progress)
            if self.status() is None:
                progress(acceleration.decided().told)
                progress(f"vagrant up: {', '.join(machine.name for machine in machines)}")
                self._bring_up()
            cluster = self._cluster(machines)
            self._describe(cluster)
        client.join(cluster)
        self._assert_addresses(cluster)
        return cluster

    def down(self, progress: Progress) -> None:
        """``vagrant destroy`` of the machines of this folder, and of nothing else."""
        with self._locked():
            self._clear(progress)  # first: Vagrant takes a domain that it has forgotten for a fault
            if settings.created(self.folder):
                progress("vagrant destroy")
                program.call(self.folder, "destroy", "--force")
            for name in ("inventory.yml", "ssh_config", "known_hosts", "vagrant.json"):
                (self.home / name).unlink(missing_ok=True)
            snapshots.forget(self.home)

    def console(self, node: Node, since: float) -> Console:
        """What the machine wrote to its serial port."""
        return console.of(self.folder, node.name, since)

    def reboot(self, nodes: Sequence[Node], progress: Progress) -> None:
        """``systemctl reboot`` on each."""
        progress(f"rebooting {len(nodes)} machines")
        cluster = self._cluster(settings.read(self.folder))
        become = () if all(user == "root" for user in self._users().values()) else ("sudo",)
        _ask(replace(cluster, nodes=tuple(nodes)), *become, "systemctl", "reboot")

    def power_cycle(self, nodes: Sequence[Node], progress: Progress) -> None:
        """Their processes are killed, and begun anew."""
        self._assert_libvirt()
        progress(f"cutting the power of {len(nodes)} machines")
        with interrupts.held():
            domains.each(self.folder, [node.name for node in nodes], ("destroy", "{}"), ("start", "{}"))

    def save_snapshot(self, name: str, progress: Progress) -> Snapshot:
        """Hold all machines still, keep their disks, let them run on."""
        self._assert_libvirt()
        with self._locked():
            cluster = self.status()
            if cluster is None:
                raise DriverError(f"not all machines of {self.folder} run", hint="`harness up`")
            progress(f"keeping the disks of {len(cluster.nodes)} machines")
            _ask(cluster, "sync")
            return snapshots.save(self.folder, self.place, [node.name for node in cluster.nodes], name)

    def restore_snapshot(self, name: str, progress: Progress) -> Cluster:
        """Put the kept disks back, and boot from them."""
        self._assert_libvirt()
        with self._locked():
            progress(f"putting the disks of {name} back")
            snapshots.restore(self.folder, self.place, name)
            cluster = self._cluster(settings.read(self.folder))
            progress("waiting until the machines answer")
            self._until_answering(cluster)
            return cluster

    def snapshots(self) -> Sequence[Snapshot]:
        """The kept states of this lab's machines; they go with them."""
        return snapshots.known(self.home)

    def delete_snapshot(self, name: str) -> None:
        """Forget a kept state."""
        with self._locked():
            snapshots.delete(self.folder, self.home, name)

    def _bring_up(self) -> None:
        """Vagrant destroys a new machine that does not come up, and halts an old one; what it said stays."""
        began = clock.now().timestamp()
        try:
            program.call(self.folder, "up")
        except DriverError as error:
            named, alive = program.not_booting(error.message), settings.alive(self.folder)
            told = []
            for name in (machine.name for machine in settings.read(self.folder)):
                hung = any(line.startswith(f"{name} does not boot") for line in named)  # perhaps since before the call
                said = console.of(self.folder, name, 0.0 if hung else began)
                told += [said.told(name)] if hung or (said.lines and name not in alive) else []
            raise DriverError("\n".join((*named, error.message, *told)), hint=error.hint) from None

    def _until_answering(self, cluster: Cluster) -> None:
        began = clock.now().timestamp()
        try:
            clock.until(lambda: _answering(cluster), what="the machines", within=self.boot_seconds, every=0.5,
                        failure=DriverError)  # fmt: skip
        except DriverError as error:
            told = [
                self.console(node, began).told(node.name) for node in cluster.nodes if node.name in _silent(cluster)
            ]
            raise DriverError("\n".join((error.message, *told)), hint=_ANEW) from None

    def _assert_addresses(self, cluster: Cluster) -> None:
        """Every machine really has its private address: some providers ignore what the Vagrantfile asks for.

        Raises :class:`DriverError` with all that do not answer, and their consoles, or lack it.
        """
        answers = _ask(cluster, "ip", "-j", "address", "show")
        amiss = []
        for node in cluster.nodes:
            done = answers[node.name]
            if not done.ok:
                told = self.console(node, 0).told(node.name)
                amiss.append(f"{node.name} runs, and does not answer to SSH: {done.last_words()}\n{told}")
            else:
                there, wanted = done.out.replace(" ", ""), filter(None, (node.address, node.address6))
                lacks = [address for address in wanted if f'"local":"{address}"' not in there]
                amiss += [f"{node.name} has no interface with {address}" for address in lacks]
        if amiss:
            raise DriverError(
                "\n".join(amiss), hint="`vagrant reload NODE`, or `vagrant destroy -f NODE` and `harness up`"
            )

    def _clear(self, progress: Progress) -> None:
        """Remove this folder's domains that Vagrant does not know: its notes were deleted, or a call was killed."""
        known = set(settings.created(self.folder).values())
        strays = [name for name, identity in domains.there(self.folder).items() if identity not in known]
        if strays:
            progress(f"removing {', '.join(strays)}, which Vagrant has forgotten")
            domains.remove(self.folder, strays)

    def _assert_libvirt(self) -> None:
        lacking = set(settings.created(self.folder)) - set(domains.there(self.folder))
        if lacking:
            raise DriverError(f"libvirt does not know {', '.join(sorted(lacking))}",
                              hint="power cuts and snapshots are for machines of the provider libvirt")  # fmt: skip

    def _users(self) -> dict[str, str]:
        hosts = yaml.safe_load((self.home / "inventory.yml").read_text(encoding="utf-8"))
        nodes = hosts["all"]["children"]["nodes"]["hosts"]
        return {name: "other" if node["ansible_become"] else "root" for name, node in nodes.items()}

    def _wished(self, wish: Wish) -> tuple[settings.Machine, ...]:
        machines = settings.read(self.folder)
        if wish.subnets != 1:
            raise UsageError("--subnets is for nodes of the driver nspawn", hint="leave it out")
        if wish.count != len(machines):
            raise UsageError(
                f"{wish.count} nodes are asked for, but {settings.FILE} has {len(machines)}",
                hint="leave --nodes out, and add machines to that file",
            )
        if wish.dual_stack not in (None, bool(machines[0].address6)):
            raise UsageError(
                f"whether machines have IPv6 is said in {settings.FILE}",
                hint="each has `address6: fd00:192:168:56::11` beside `address` there, or none; then `vagrant reload`",
            )
        return machines

    def _cluster(self, machines: Sequence[settings.Machine]) -> Cluster:
        return Cluster(
            lab=self.lab,
            uid=_digest(self.folder) if settings.created(self.folder) else "planned",
            driver="vagrant",
            nodes=tuple(
                Node(machine.name, machine.address, machine.release, address6=machine.address6) for machine in machines
            ),
            inventory=self.home / "inventory.yml",
            ssh_config=self.home / "ssh_config",
            client_netns=host.NETNS if host.NETNS.exists() else None,
            client_address6=settings.CLIENT6 if any(machine.address6 for machine in machines) else "",
            emulated=not acceleration.decided().kvm,
        )

    def _describe(self, cluster: Cluster) -> None:
        names = [node.name for node in cluster.nodes]
        hosts = ssh.parse(program.call(self.folder, "ssh-config", *names), names)
        (self.home / "known_hosts").unlink(missing_ok=True)
        write_atomic(cluster.ssh_config, ssh.config(cluster, hosts))
        write_atomic(cluster.inventory, ssh.inventory(cluster, hosts))
        write_atomic(self.home / "vagrant.json", json.dumps({"machines": _digest(self.folder)}) + "\n")

    def _described(self) -> bool:
        """Whether the two files are about the machines that are there now."""
        try:
            known = json.loads((self.home / "vagrant.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        files = (self.home / "inventory.yml", self.home / "ssh_config")
        return all(path.exists() for path in files) and known == {"machines": _digest(self.folder)}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: Vagrant's import of boxes and making of networks race with themselves."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".harness" / "vagrant.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DriverError(f"another harness makes or removes the machines of {self.folder}",
                                  hint="wait until it has ended") from None  # fmt: skip
            yield


def _digest(folder: Path) -> str:
    made = sorted(settings.created(folder).items())
    return hashlib.sha256(repr(made).encode()).hexdigest()[:16]


def _silent(cluster: Cluster) -> list[str]:
    """The machines on which a command by SSH does not work."""
    answers = _ask(cluster, "true")
    return [name for name, done in answers.items() if not done.ok]


def _answering(cluster: Cluster) -> None:
    if silent := _silent(cluster):
        raise clock.NotYet(f"no answer from {', '.join(silent)}")


def _ask(cluster: Cluster, *command: str) -> dict[str, process.Completed]:
    def one(node: Node) -> process.Completed:
        return process.run(["ssh", "-F", cluster.ssh_config, "-o", "ControlPath=none", node.name, *command], timeout=60)

    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip([node.name for node in cluster.nodes], pool.map(one, cluster.nodes), strict=True))
