"""What the ``nspawn`` driver needs of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version

from harness.drivers import Check
from harness.drivers.nspawn import recipe
from harness.support import process

_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
_ROOM = 2 * 1024**3


def checks() -> tuple[Check, ...]:
    """Every check, whether it is well or not. Changes nothing."""
    return (_root(), *_programs(), _namespaces(), _overlay(), _disk(), *_roots(), _python())


def _root() -> Check:
    who = os.geteuid()
    return Check("root", who == 0, f"user id {who}", "run harness by sudo: sudo .venv/bin/harness …")


def _programs() -> Iterator[Check]:
    for program, package in _PROGRAMS.items():
        where = shutil.which(program)
        yield Check(program, where is not None, where or "not installed", f"apt-get install {package}")


def _namespaces() -> Check:
    done = process.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"])
    return Check("namespaces", done.ok, "can be made" if done.ok else done.last_words(),
                 "needs root, and a kernel and an outer container that allow new namespaces")  # fmt: skip


def _overlay() -> Check:
    script = (
        "mount -t tmpfs t /mnt && cd /mnt && mkdir l u w m && mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m"
    )
    done = process.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script])
    return Check("overlay", done.ok, "can be mounted" if done.ok else done.last_words(), "modprobe overlay")


def _disk() -> Check:
    free = shutil.disk_usage("/var/lib").free
    return Check("disk", free >= _ROOM, f"{free / 1024**3:.0f} GiB free in /var/lib", "free at least 2 GiB there")


def _roots() -> Iterator[Check]:
    for release in recipe.RELEASES:
        there = recipe.path(release).is_dir()
        yield Check(f"{release} root", True, "cached" if there else "not built yet: the first `up` does, once")


def _python() -> Check:
    core = version("ansible-core")
    fits = sys.version_info[:2] >= (3, 11)
    return Check("python", fits, f"{sys.version.split()[0]} with ansible-core {core}", "Python 3.11 or newer")
