"""What a node runs on: one question to its shell, and how the answer is read (pure)."""

from __future__ import annotations

from harness.model.observation import Versions

_PROGRAM = """\
echo kernel=$(uname -r)
. /etc/os-release
echo "os_image=$PRETTY_NAME$(sed 's/^[0-9].*/, &/; t; d' /etc/debian_version 2>/dev/null)"
echo nftables=$(PATH=$PATH:/usr/sbin:/sbin nft --version | sed 's/^nftables v//; s/ .*//')
echo python=$(python3 -c 'import platform; print(platform.python_version())')
"""
QUESTION = ("sh", "-c", _PROGRAM)
"""The words of a command; a point release of Debian stands behind what os-release(5) says."""


def read(answer: str) -> Versions:
    """What a node answered; what it did not say stays empty."""
    said = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    return Versions(**{name: said.get(name, "").strip() for name in Versions.__dataclass_fields__})
