"""The machines as libvirt knows them. Only domains with the folder's own prefix are ever looked at or touched."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.errors import DriverError
from harness.support import process


def prefix(folder: Path) -> str:
    """Of the names of all domains of this folder; the Vagrantfile has the same."""
    return f"nodeport-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}-"


def virsh(*words: str, timeout: float = 60) -> process.Completed:
    """Ask the machine's libvirt."""
    return process.run(["virsh", "-q", "-c", "qemu:///system", *words], timeout=timeout)


def there(folder: Path) -> dict[str, str]:
    """The folder's domains, running or not: id by name of the machine. None where no libvirt answers."""
    if shutil.which("virsh") is None:
        return {}
    done = virsh("list", "--all", "--name", "--uuid")
    found = {}
    for line in done.out.splitlines() if done.ok else ():
        identity, _, name = line.strip().partition(" ")
        if name.strip().startswith(prefix(folder)):
            found[name.strip().removeprefix(prefix(folder))] = identity
    return found


def remove(folder: Path, names: Sequence[str]) -> None:
    """Remove domains that Vagrant does not know any more, with their disks.

    Raises :class:`DriverError` when one stays.
    """
    for name in names:
        domain = prefix(folder) + name
        virsh("destroy", domain)  # may be off
        done = virsh("undefine", domain, "--remove-all-storage", "--snapshots-metadata", "--managed-save")
        if not done.ok:
            raise DriverError(f"{domain} cannot be removed: {done.last_words()}")


def drop_images(start: str) -> None:
    """Remove copies of former boxes, whose names start so, from libvirt's pool; Vagrant never does.

    Only where no machine of any folder is left: each disk is an overlay over such a copy.
    """
    if shutil.which("virsh") is None or any(
        name.startswith("nodeport-") for name in virsh("list", "--all", "--name").out.split()
    ):
        return
    for line in virsh("vol-list", "default").out.splitlines():
        name = (line.split() or [""])[0]
        if name.startswith(start):
            virsh("vol-delete", name, "--pool", "default")


def each(folder: Path, names: Sequence[str], *steps: Sequence[str]) -> None:
    """One or more commands of virsh, in which ``{}`` is the domain: each step on all machines at once, then the next.

    Raises :class:`DriverError` that names every machine on which a step failed; later steps are left out then.
    """

    def one(step: Sequence[str]) -> Callable[[str], str]:
        def carry_out(name: str) -> str:
            done = virsh(*(word.replace("{}", prefix(folder) + name) for word in step), timeout=120)
            return "" if done.ok else f"{name}: {done.last_words()}"

        return carry_out

    for step in steps:
        with ThreadPoolExecutor(max_workers=8) as pool:
            amiss = [word for word in pool.map(one(step), names) if word]
        if amiss:
            raise DriverError(f"virsh {step[0]} failed: " + "; ".join(amiss))
