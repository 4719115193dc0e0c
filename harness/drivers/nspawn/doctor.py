"""What the ``nspawn`` driver needs of this machine. Nothing here leaves a change behind."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

from harness.drivers import Check
from harness.drivers.nspawn import cgroups, recipe
from harness.errors import RigError
from harness.support import process

_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_STATE = Path("/var/lib")
_ROOM = 2 * 1024**3
_GIB = 1024**3


def checks() -> tuple[Check, ...]:
    """Every check, whether it is well or not."""
    return (
        _root(),
        *_programs(),
        _keyring(),
        _network_namespace(),
        _overlay(),
        _control_groups(),
        _disk(),
        *_roots(),
        _python(),
    )


def _root() -> Check:
    user = os.geteuid()
    return Check("root", user == 0, f"user id {user}", "run harness by sudo: sudo .venv/bin/harness …")


def _programs() -> Iterator[Check]:
    for program, package in _PROGRAMS.items():
        where = shutil.which(program)
        yield Check(program, where is not None, where or "not installed", f"apt-get install {package}")


def _keyring() -> Check:
    there = _KEYRING.exists()
    return Check(
        "Debian's keys", there, str(_KEYRING) if there else "not installed", "apt-get install debian-archive-keyring"
    )


def _network_namespace() -> Check:
    """A namespace with a bridge and a veth, all gone again with the one process that lived in it."""
    script = "ip link add name br0 type bridge && ip link add name v0 master br0 type veth peer name v1"
    words = _last_words("unshare", "--net", "sh", "-c", script)
    return Check(
        "network namespaces", not words, words or "with bridge and veth",
        "run as root on a kernel with bridge and veth: modprobe -a bridge veth",
    )  # fmt: skip


def _overlay() -> Check:
    """A trial mount on the very file system that nodes will use, in a mount namespace of its own."""
    try:
        with tempfile.TemporaryDirectory(prefix="nodeport-harness-doctor.", dir=_STATE) as folder:
            script = 'cd "$0" && mkdir l u w m && mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m'
            words = _last_words("unshare", "--mount", "--propagation", "private", "sh", "-c", script, folder)
    except OSError as error:
        words = str(error)
    return Check(
        "overlay", not words, words or f"can be mounted on {_STATE}",
        f"modprobe overlay; in a container, give it a volume on {_STATE} (an overlay cannot lie on an overlay)",
    )  # fmt: skip


def _control_groups() -> Check:
    found = cgroups.hierarchies()
    well = bool(found) and all(os.access(path, os.W_OK) for path in found)
    return Check(
        "control groups", well, ", ".join(map(str, found)) or "none mounted",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup (in a container, it must be writable)",
    )  # fmt: skip


def _disk() -> Check:
    free = shutil.disk_usage(_STATE).free
    return Check("disk", free >= _ROOM, f"{free / _GIB:.0f} GiB free in {_STATE}", "apt-get clean; 2 GiB are needed")


def _roots() -> Iterator[Check]:
    for release in recipe.RELEASES:
        root = recipe.path(release)
        found = f"cached in {root}" if root.is_dir() else "not built yet: the first `up` does it, about 40 s, once"
        yield Check(f"{release} root", True, found)


def _python() -> Check:
    core = metadata("ansible-core")
    wanted = SpecifierSet(core["Requires-Python"])
    here = platform.python_version()
    return Check(
        "python", here in wanted, f"{here} with ansible-core {core['Version']}, which wants {wanted}",
        f"python3 -m venv .venv with a Python {wanted}, or an older ansible-core",
    )  # fmt: skip


def _last_words(*argv: str) -> str:
    """What a trial said when it failed; empty when it went well."""
    try:
        done = process.run(argv, timeout=10)
    except RigError as error:
        return str(error)
    return "" if done.ok else done.last_words()
