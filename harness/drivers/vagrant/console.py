"""What a machine says on its serial console. libvirt writes it into a file, anew at each start of the machine."""

from __future__ import annotations

import re
from pathlib import Path

from harness.drivers import Console
from harness.drivers.vagrant import domains

LOGS = Path("/var/log/libvirt/qemu")
_LINES = 15
_LOADER = "SYSLINUX "
"""How the boot loader of our boxes greets: what a machine said before it was in an earlier boot."""

_ENDS = tuple(
    re.compile(line)
    for line in Path(__file__).with_name("boot_ends.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def of(folder: Path, name: str, since: float) -> Console:
    """What the machine of that folder has said since then, in seconds of the epoch."""
    path = LOGS / f"{domains.prefix(folder)}{name}-console.log"
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.stat().st_mtime >= since else ""
    except OSError:
        text = ""
    return read(path, text)


def read(path: Path, text: str) -> Console:
    """The text of a console as one boot, the last; a boot that has ended without a system says so itself.

    The lines are the last ones, or those around the end.
    """
    boot = text[max(0, text.rfind(_LOADER)) :]
    lines = [line for line in map(_printable, boot.splitlines()) if line.strip()]
    for at, line in enumerate(lines):
        for match in filter(None, (pattern.search(line) for pattern in _ENDS)):
            first = max(0, at - _LINES // 2)
            return Console(path, tuple(lines[first : first + _LINES]), match.group())
    return Console(path, tuple(lines[-_LINES:]))


def _printable(line: str) -> str:
    return "".join(character for character in line if character.isprintable())[:200]
