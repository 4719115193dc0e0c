"""The one limit of the kernel that many systemd nodes on one machine run into: inotify instances of root.

systemd and dbus of one node take about six (inotify(7); 128 by default); a node
that gets none hangs in its boot. The limit is raised when it has to be, and put back when the last lab goes.
"""

from __future__ import annotations

from pathlib import Path

from harness.drivers import Progress
from harness.drivers.nspawn.names import LABS
from harness.support.files import write_atomic

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_FORMER = LABS / "inotify-before"
_FOR_A_NODE = 8
_SPARE = 40


def make_room(nodes: int, progress: Progress) -> None:
    """Raise the limit so that ``nodes`` nodes more can boot, and say so."""
    present = int(_LIMIT.read_text())
    labs = sum(1 for _ in LABS.glob("*/n*"))
    wanted = _SPARE + _FOR_A_NODE * (labs + nodes)
    if present >= wanted:
        return
    if not _FORMER.exists():
        write_atomic(_FORMER, f"{present}\n")
    progress(f"raising fs.inotify.max_user_instances from {present} to {wanted} while labs run")
    _LIMIT.write_text(str(wanted))


def put_back() -> None:
    """Put the limit back to what it was, once no lab is left."""
    if _FORMER.exists() and not any(path.is_dir() for path in LABS.iterdir()):
        _LIMIT.write_text(_FORMER.read_text().strip())
        _FORMER.unlink()
