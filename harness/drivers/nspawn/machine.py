"""One node's machine: prepared, started, found, killed, removed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.drivers.nspawn import cgroups, disk, fabric
from harness.drivers.nspawn.names import Names
from harness.errors import DriverError, RigError
from harness.model.cluster import Node
from harness.support import clock, netns, process

_SUPERVISOR = Path(__file__).with_name("supervise.sh")
_NSPAWN = Path("/run/systemd/nspawn")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def prepare(names: Names, node: Node, root: Path, public_key: str) -> None:
    """What tells this node from the others, laid over the shared ``root`` before it boots."""
    folder = names.folder / node.name
    upper = folder / "upper"
    host_key = names.folder / "keys" / node.name
    for path in (upper / "etc/ssh", upper / "root/.ssh"):
        path.mkdir(parents=True)
    (upper / "root").chmod(0o700)
    (upper / "root/.ssh").chmod(0o700)
    (upper / "etc/hostname").write_text(f"{node.name}\n")
    (upper / "etc/hosts").write_text(f"127.0.0.1 localhost\n{node.address} {node.name}\n")
    (upper / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n")
    (upper / "root/.ssh/authorized_keys").write_text(public_key)
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        key = upper / "etc/ssh" / f"ssh_host_ed25519_key{suffix}"
        shutil.copyfile(f"{host_key}{suffix}", key)
        key.chmod(mode)
    disk.finish(folder, root)


def start(names: Names, node: Node) -> None:
    """Boot a node that has a disk, under its supervisor, whose pid is then known; its console goes to ``console.log``.

    Raises :class:`DriverError`.
    """
    machine = names.machine(node.name)
    groups = cgroups.make(machine)
    root = disk.root(names.folder / node.name)
    addresses = (node.address, node.address6 or "-")
    network = (names.fabric, fabric.port(node.name), *addresses, names.mac(node.address))
    words = (machine, str(names.folder / node.name), str(root), *network, *map(str, groups))
    try:
        # The supervisor lets go of our pipes once it has said its pid, so this call ends no sooner.
        process.check(["setsid", "--fork", "sh", _SUPERVISOR, *words], what=f"starting {node.name}")
    except RigError as error:
        raise DriverError(str(error), hint="`harness doctor` looks at what it needs") from error


def runs(names: Names, node: str) -> bool:
    """Whether the node's supervisor is there, and its network too."""
    return supervised(names, node) and (netns.FOLDER / names.machine(node)).exists()


def supervised(names: Names, node: str) -> bool:
    """Whether the node's supervisor is there, with the node's name in its arguments; a node that reboots has one."""
    try:
        pid = int((names.folder / node / "pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    return names.machine(node).encode() in words


def console_tail(names: Names, node: str, lines: int = 5) -> str:
    """The last lines that the node's console said, without their colours."""
    with contextlib.suppress(OSError):
        text = (names.folder / node / "console.log").read_text(errors="replace")
        return "\n".join(_COLOUR.sub("", text).strip().splitlines()[-lines:])
    return ""


def present(names: Names) -> set[str]:
    """The machines of a lab of which there is anything: a group, a namespace, a folder."""
    folders = {names.machine(path.name) for path in names.folder.glob("n*") if path.is_dir()}
    spaces = {path.name for path in names.namespaces()} - {names.fabric}
    return folders | spaces | cgroups.machines(names)


def halt(names: Names, machines: Collection[str]) -> None:
    """Cut these machines' power: nothing of them runs any more, and nothing but their disks remains.

    Raises :class:`DriverError` when something does not die.
    """
    kill(machines)
    for machine in sorted(machines):
        node = machine.removeprefix(names.machine(""))
        fabric.unplug(names, node)
        fabric.remove(machine)
        _forget(machine, names.folder / node)
    cgroups.remove(machines)


def remove(names: Names, machines: Collection[str]) -> None:
    """Kill these machines and remove every trace of them.

    Raises :class:`DriverError` when something does not die.
    """
    halt(names, machines)
    for machine in machines:
        disk.remove(names.folder / machine.removeprefix(names.machine("")))


def _forget(machine: str, folder: Path) -> None:
    """Remove what systemd-nspawn leaves in /run when it is killed: its folder, and locks named by the root's inode."""
    with contextlib.suppress(OSError):
        (_NSPAWN / "propagate" / machine).rmdir()
    with contextlib.suppress(OSError):
        for lock in (_NSPAWN / "locks").glob(f"inode-*:{(folder / 'upper').stat().st_ino}"):
            lock.unlink()


def kill(machines: Collection[str]) -> None:
    """Kill everything that runs in these machines, and their supervisors.

    What belongs to a machine is told by its control group, its network namespace and by its name among a
    supervisor's arguments, never by a remembered process id alone: ids are used again.

    Raises :class:`DriverError` when something does not die.
    """

    def gone() -> None:
        cgroups.kill(machines)
        left = set(_processes(machines))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left:
            raise clock.NotYet(f"processes {sorted(left)} of {', '.join(machines)}")

    if machines:
        clock.until(gone, what="the lab's processes to end", within=10, every=0.01, failure=DriverError)


def _processes(machines: Collection[str]) -> Iterator[int]:
    yield from (pid for pid in cgroups.processes(machines) if pid)
    names = {name.encode() for name in machines}
    spaces = set()
    for name in machines:
        with contextlib.suppress(OSError):
            spaces.add((netns.FOLDER / name).stat().st_ino)
    for pid, words in process_table():
        with contextlib.suppress(OSError):
            supervises = any(word.endswith(b"/supervise.sh") for word in words) and names.intersection(words)
            if supervises or Path(f"/proc/{pid}/ns/net").stat().st_ino in spaces:
                yield pid


def process_table() -> Iterator[tuple[int, list[bytes]]]:
    """The other processes of this machine, with their arguments; none that has ended and waits to be reaped."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words != [b""]:
                    yield int(entry.name), words
