"""What a Debian root for nodes is made of, as data: a change of the recipe makes a new root."""

from __future__ import annotations

import hashlib
from pathlib import Path

RELEASES = ("bookworm", "trixie")
"""Debian 12 and 13."""

PACKAGES = (
    "conntrack", "curl", "dbus", "iproute2", "iputils-ping", "libpython3-stdlib", "nftables", "openssh-server",
    "procps", "python3", "python3-nftables", "socat", "sudo", "systemd", "systemd-sysv", "tcpdump",
)  # fmt: skip

MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "getty.target", "nftables.service",
    "systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service",
)  # fmt: skip
"""Units that a node does not need and that would make its boot slower."""

_VERSION = "2"
CACHE = Path("/var/cache/nodeport-harness/roots")


def digest(release: str) -> str:
    """A short digest of everything that shapes the root of a release."""
    text = "\n".join((_VERSION, release, *PACKAGES, "--", *MASKED))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def path(release: str) -> Path:
    """Where the root of a release is kept once it is whole."""
    return CACHE / f"{release}-{digest(release)}"
