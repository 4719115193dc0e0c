"""What a Debian root for nodes is made of, as data: a change of the recipe makes a new root."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_VERSION = 3
"""Of what `root` does beyond this data."""

RELEASES = ("bookworm", "trixie")
"""Debian 12 and 13."""

PACKAGES = (
    "conntrack", "curl", "dbus", "iproute2", "iptables", "iputils-ping", "nftables", "openssh-server",
    "procps", "python3", "python3-nftables", "socat", "sudo", "systemd", "systemd-sysv", "tcpdump",
)  # fmt: skip

MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "getty.target", "nftables.service",
    "systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service",
)  # fmt: skip
"""Units that a node does not need and that would make its boot slower."""

FILES = {
    "etc/ssh/sshd_config.d/harness.conf": (
        "# By key alone; and as many sessions and connections at once as a test may want.\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nMaxSessions 200\nMaxStartups 200\n"
    ),
}
"""Files laid over every root, by path."""

FILES_OF = {
    "trixie": {
        "etc/ssh/sshd_config.d/harness-penalties.conf": (
            "# One client address stands for many here: sshd must not shut it out (OpenSSH 9.8 and later).\n"
            "PerSourcePenalties no\n"
        ),
    },
}
"""The same for one release."""

LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
"""Never unpacked: a node is no place to read."""

CACHE = Path("/var/cache/nodeport-harness/roots")


def files(release: str) -> dict[str, str]:
    """The files laid over the root of a release."""
    return {**FILES, **FILES_OF.get(release, {})}


def digest(release: str) -> str:
    """A short digest of everything that shapes the root of a release."""
    text = json.dumps([_VERSION, release, PACKAGES, MASKED, LEFT_OUT, files(release)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def path(release: str) -> Path:
    """Where the root of a release is kept once it is whole."""
    return CACHE / f"{release}-{digest(release)}"
