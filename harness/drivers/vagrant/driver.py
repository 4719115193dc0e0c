"""The driver ``vagrant``: has Vagrant make the machines of the folder, and describes them by the two files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness.drivers import Check, Place, Progress, Wish
from harness.drivers.vagrant import host, settings, ssh
from harness.errors import DriverError, RigError, UsageError
from harness.model.cluster import Cluster, Node
from harness.support import process
from harness.support.files import write_atomic

_UP_SECONDS = 600
_KVM = Path(__file__).with_name("kvm.sh")


class VagrantDriver:
    """The ``vagrant`` driver for one lab; see :class:`harness.drivers.Driver`."""

    makes_nodes = True

    def __init__(self, place: Place) -> None:
        self.home = place.home.absolute()
        self.lab = place.lab
        self.folder = place.folder

    def doctor(self) -> Sequence[Check]:
        """Vagrant, a provider that answers, and what the guests run under."""
        checks = []
        for program, package in (("vagrant", "vagrant vagrant-libvirt"), ("qemu-system-x86_64", "qemu-system-x86"),
                                 ("virsh", "libvirt-clients libvirt-daemon-system"), ("socat", "socat")):  # fmt: skip
            found = shutil.which(program)
            checks.append(Check(program, found is not None, found or "not found", f"apt-get install {package}"))
        if shutil.which("virsh"):
            done = process.run(["virsh", "-c", "qemu:///system", "version"], timeout=30)
            found = "answers" if done.ok else done.last_words()
            checks.append(Check("libvirt", done.ok, found, "start libvirtd; without systemd: make vm-host"))
        return [*checks, Check("accelerator", True, accelerator())]

    def usual(self) -> Wish:
        """As many machines as ``nodes.yml`` has."""
        return Wish(count=len(settings.read(self.folder)))

    def planned(self, wish: Wish) -> Cluster:
        """The machines of ``nodes.yml``, whether they run or not."""
        return self._cluster(self._wished(wish))

    def status(self) -> Cluster | None:
        """The machines that Vagrant has made here, by whoever called it, once all of them answer to SSH."""
        made = settings.created(self.folder)
        if not made:
            return None
        machines = settings.read(self.folder)
        if {machine.name for machine in machines} - set(made):
            return None
        cluster = self._cluster(machines)
        try:
            if not self._described():
                self._describe(cluster)
            return None if _silent(cluster) else cluster
        except RigError:
            return None

    def up(self, wish: Wish, progress: Progress) -> Cluster:
        """``vagrant up``, the first machine alone, then two files and one question to every machine."""
        machines = self._wished(wish)
        with self._locked():
            if self.status() is None:
                progress(f"the guests run under {accelerator()}")
                first, *others = [machine.name for machine in machines]
                progress(f"vagrant up {first}")
                self._vagrant("up", first)
                if others:
                    progress(f"vagrant up {' '.join(others)}")
                    self._vagrant("up", *others)
            cluster = self._cluster(machines)
            self._describe(cluster)
        _assert_addresses(cluster)
        return cluster

    def down(self, progress: Progress) -> None:
        """``vagrant destroy`` of the machines of this folder, and of nothing else."""
        with self._locked():
            if settings.created(self.folder):
                progress("vagrant destroy")
                self._vagrant("destroy", "--force")
            for name in ("inventory.yml", "ssh_config", "vagrant.json"):
                (self.home / name).unlink(missing_ok=True)

    def _wished(self, wish: Wish) -> tuple[settings.Machine, ...]:
        machines = settings.read(self.folder)
        if wish.count != len(machines):
            raise UsageError(
                f"{wish.count} nodes are asked for, but {settings.FILE} has {len(machines)}",
                hint="leave --nodes out, and add machines to that file",
            )
        return machines

    def _cluster(self, machines: Sequence[settings.Machine]) -> Cluster:
        return Cluster(
            lab=self.lab,
            uid=_digest(self.folder) if settings.created(self.folder) else "planned",
            driver="vagrant",
            nodes=tuple(Node(machine.name, machine.address, machine.release) for machine in machines),
            inventory=self.home / "inventory.yml",
            ssh_config=self.home / "ssh_config",
            client_netns=host.NETNS if host.NETNS.exists() else None,
        )

    def _describe(self, cluster: Cluster) -> None:
        names = [node.name for node in cluster.nodes]
        hosts = ssh.parse(self._vagrant("ssh-config", *names), names)
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

    def _vagrant(self, *words: str) -> str:
        env = {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_DEFAULT_PROVIDER": _provider()}
        done = process.run(["vagrant", *words, "--no-color"], cwd=self.folder, env=env, timeout=_UP_SECONDS)
        if not done.ok:
            said = "\n".join((done.err.strip() or done.out.strip()).splitlines()[-12:])
            raise DriverError(f"`{done.command}` in {self.folder} failed:\n{said}",
                              hint="`harness doctor --driver vagrant`; a box that is missing: `make box`")  # fmt: skip
        return done.out

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


def accelerator() -> str:
    """``kvm`` where a guest really runs under it, else ``qemu``; the Vagrantfile asks the same program."""
    return process.run([_KVM], timeout=30).out.strip() or "qemu"


def _provider() -> str:
    return "virtualbox" if shutil.which("VBoxManage") and not shutil.which("virsh") else "libvirt"


def _digest(folder: Path) -> str:
    made = sorted(settings.created(folder).items())
    return hashlib.sha256(repr(made).encode()).hexdigest()[:16]


def _silent(cluster: Cluster) -> list[str]:
    """The machines on which a command by SSH does not work."""
    answers = _ask(cluster, "true")
    return [name for name, done in answers.items() if not done.ok]


def _ask(cluster: Cluster, *command: str) -> dict[str, process.Completed]:
    def one(node: Node) -> process.Completed:
        return process.run(["ssh", "-F", cluster.ssh_config, "-o", "ControlPath=none", node.name, *command], timeout=60)

    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip([node.name for node in cluster.nodes], pool.map(one, cluster.nodes), strict=True))


def _assert_addresses(cluster: Cluster) -> None:
    """Every machine really has its private address: some providers ignore what the Vagrantfile asks for.

    Raises :class:`DriverError` with all that do not answer or lack it.
    """
    answers = _ask(cluster, "ip", "-j", "-4", "address", "show")
    amiss = []
    for node in cluster.nodes:
        done = answers[node.name]
        if not done.ok:
            amiss.append(f"{node.name} does not answer to SSH: {done.last_words()}")
        elif f'"local":"{node.address}"' not in done.out.replace(" ", ""):
            amiss.append(f"{node.name} has no interface with {node.address}")
    if amiss:
        raise DriverError("; ".join(amiss), hint="`vagrant reload`, or `vagrant destroy -f` and anew")
