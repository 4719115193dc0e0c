"""What Ansible asks: does this node run what it was given, and if not, have it do so."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from nodeportd import backend, state
from nodeportd.backend import BackendError
from nodeportd.endpoints import effective

UNIT = "nodeportd.service"
SECONDS = 20.0
ASK_AGAIN = 2.0
POLL = 0.02


class Unsettled(Exception):
    """The node does not get there; the text is the daemon's own words and what else is wrong."""


def differences(file: Path) -> tuple[str, ...]:
    """What of this node's forwarding is not as the state file says.

    Raises :class:`nodeportd.backend.BackendError`, :class:`nodeportd.state.StateError`, :class:`OSError`.
    """
    wanted = state.parse(file.read_bytes())
    return backend.get(wanted.backend).drift(effective(wanted))


def unsettled(generation: int, file: Path, status: Path) -> Sequence[str]:
    """Why the node does not run that generation as it should, in words; empty when it does."""
    if not _systemctl("is-active", "--quiet"):
        return ["nodeportd does not run"]
    if not _systemctl("is-enabled", "--quiet"):
        return ["nodeportd does not start at boot"]
    return not_in_force(generation, file, status)


def not_in_force(generation: int, file: Path, status: Path) -> Sequence[str]:
    """The same, without a look at systemd: status, and the kernel's table."""
    try:
        said = json.loads(status.read_text(encoding="utf-8"))
        if said["error"]:
            return [said["error"]]
        if said["generation"] != generation:
            return [f"generation {said['generation']} is in force, not {generation}"]
        return differences(file)
    except FileNotFoundError as error:
        return [f"{error.filename} is missing"]
    except (BackendError, state.StateError) as error:
        return [str(error)]


def settle(generation: int, file: Path, status: Path) -> None:
    """Have the daemon run that generation and the table be right.

    It is asked again every few seconds: a reload that changes something touches only what differs, and mends
    the rest of a table that somebody altered when it is asked once more.

    Raises :class:`Unsettled` with what is left after a while.
    """
    deadline = time.monotonic() + SECONDS
    left = unsettled(generation, file, status)
    while left and time.monotonic() < deadline:
        _systemctl("enable", "--quiet")
        _systemctl("reload-or-restart")
        again = min(time.monotonic() + ASK_AGAIN, deadline)
        left = unsettled(generation, file, status)
        while left and time.monotonic() < again:
            time.sleep(POLL)
            left = unsettled(generation, file, status)
    if left:
        shown = "; ".join(left[:10])
        raise Unsettled(f"nodeportd does not run generation {generation} after {SECONDS:g} s: {shown}")


def _systemctl(*words: str) -> bool:
    return subprocess.run(["systemctl", *words, UNIT], check=False).returncode == 0
