"""One node's machine: prepared, started, found, killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.drivers.nspawn.names import NETNS, Names
from harness.errors import DriverError
from harness.model.cluster import Node
from harness.support import clock, process

_SUPERVISOR = Path(__file__).with_name("supervise.sh")


def prepare(names: Names, node: Node, host_key: Path, public_key: str) -> None:
    """What tells this node from the others, laid over the shared root before it boots."""
    folder = names.folder / node.name
    shutil.rmtree(folder, ignore_errors=True)
    upper = folder / "upper"
    for path in (upper / "etc/ssh", upper / "root/.ssh", folder / "work", folder / "merged"):
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


def start(names: Names, node: Node, root: Path) -> None:
    """Boot a prepared node under its supervisor; its console goes to ``console.log``."""
    folder = names.folder / node.name
    with (folder / "console.log").open("ab") as console:
        supervised: list[str | Path] = ["sh", _SUPERVISOR, names.machine(node.name), root, folder]
        child = process.start(
            ["unshare", "--mount", "--propagation", "private", *supervised], stdout=console, stderr=console
        )
    (folder / "pid").write_text(f"{child.pid}\n")


def runs(names: Names, node: str) -> bool:
    """Whether the node's supervisor is there, with the node's name in its arguments."""
    try:
        pid = int((names.folder / node / "pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    return names.machine(node).encode() in words


def console_tail(names: Names, node: str, lines: int = 5) -> str:
    """The last lines that the node's console said."""
    with contextlib.suppress(OSError):
        text = (names.folder / node / "console.log").read_text(errors="replace")
        return "\n".join(text.strip().splitlines()[-lines:])
    return ""


def kill(names: Names, machines: Iterable[str]) -> None:
    """Kill everything that runs in these machines, and their supervisors.

    What belongs to a machine is told by its network namespace and by its name among a supervisor's arguments,
    never by a remembered process id alone: ids are used again.

    Raises :class:`DriverError` when something does not die.
    """
    wanted = tuple(machines)

    def gone() -> None:
        left = list(_processes(wanted))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if left:
            raise clock.NotYet(f"processes {left} of {', '.join(wanted)}")

    if wanted:
        clock.until(gone, what="the lab's processes to end", within=10, every=0.02, failure=DriverError)


def _processes(machines: tuple[str, ...]) -> Iterator[int]:
    names = {name.encode() for name in machines}
    spaces = set()
    for name in machines:
        with contextlib.suppress(OSError):
            spaces.add((NETNS / name).stat().st_ino)
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            supervises = str(_SUPERVISOR).encode() in words and names.intersection(words)
            if supervises or (words != [b""] and (entry / "ns/net").stat().st_ino in spaces):
                yield int(entry.name)
