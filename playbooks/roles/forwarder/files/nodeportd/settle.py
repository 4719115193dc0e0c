"""What Ansible asks: does this node run what it was given, and if not, have it do so."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nodeportd import backend, prober, state, status
from nodeportd.backend import BackendError
from nodeportd.checks import Check
from nodeportd.endpoints import effective

UNIT = "nodeportd.service"
WANTS = Path("/etc/systemd/system/multi-user.target.wants")
SECONDS = 30.0
"""So long a generation may take: longer than the daemon waits for its relay, so that it can say what is wrong."""
START_SECONDS = 100.0
"""The same for a daemon that starts: a little longer than systemd lets it, 90 s. Its first rules have the kernel load a
dozen modules, which took more than 30 s on an emulated machine that got a sixth of a CPU."""
ASK_AGAIN = 2.0
POLL = 0.02
LOOKS = 4
"""So often a difference is looked at again: the daemon changes the table first, and tells of it a moment later."""
LOOK_AGAIN = 0.1
PATIENCE = 5.0
"""Seconds that a pod which comes may take to be ready, beyond what its check asks for."""
LONGEST = 300.0


class Unsettled(Exception):
    """The node does not get there; the text is the daemon's own words and what else is wrong."""


def differences(file: Path, told: Path) -> tuple[str, ...]:
    """What of this node's forwarding is not as the state file says, for pods as ready as the daemon tells.

    Raises :class:`nodeportd.backend.BackendError`, :class:`nodeportd.state.StateError`, :class:`OSError`.
    """
    wanted = state.parse(file.read_bytes())
    found: tuple[str, ...] = ()
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_AGAIN)
        found = backend.get(wanted.backend).drift(effective(wanted, status.unready(_said(told))))
        if not found:
            break
    return found


def coming(file: Path, told: Path) -> Mapping[str, str]:
    """Pods that come and are not ready yet, with the reason; those that took too long already are left out.

    Raises as :func:`differences`.
    """
    checks = {check.key: check for check in state.parse(file.read_bytes()).checks}
    return {
        pod: each["why"]
        for pod, each in _said(told).get("unready", {}).items()
        if each["coming"] and pod in checks and prober.now() < each["since"] + _allowance(checks[pod])
    }


def unready(told: Path) -> Mapping[str, str]:
    """All pods that are not ready, with the reason."""
    return {pod: each["why"] for pod, each in _said(told).get("unready", {}).items()}


def _allowance(check: Check) -> float:
    again = (check.success_threshold - 1) * check.period_seconds
    return min(LONGEST, check.initial_delay_seconds + again + check.timeout_seconds + PATIENCE)


def _said(told: Path) -> Mapping[str, Any]:
    """The daemon's status; nothing when there is none that can be read."""
    try:
        found = json.loads(told.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def unsettled(generation: int, file: Path, told: Path) -> Sequence[str]:
    """Why the node does not run that generation as it should, in words; empty when it does."""
    if not _systemctl("is-active", "--quiet"):
        return ["nodeportd does not run"]
    if not _systemctl("is-enabled", "--quiet"):
        return ["nodeportd does not start at boot"]
    return not_in_force(generation, file, told)


def not_in_force(generation: int, file: Path, told: Path) -> Sequence[str]:
    """The same, without a look at systemd: status, and the kernel's table."""
    try:
        said = json.loads(told.read_text(encoding="utf-8"))
        if said["error"]:
            return [said["error"]]
        if said["generation"] != generation:
            return [f"generation {said['generation']} is in force, not {generation}"]
        return differences(file, told)
    except FileNotFoundError as error:
        return [f"{error.filename} is missing"]
    except (BackendError, state.StateError) as error:
        return [str(error)]


def settle(generation: int, file: Path, told: Path) -> None:
    """Have the daemon run that generation and the table be right.

    It is asked again every few seconds: a reload that changes something touches only what differs, and mends
    the rest of a table that somebody altered when it is asked once more.

    Raises :class:`Unsettled` with what is left after a while.
    """
    began = time.monotonic()
    deadline = began + SECONDS
    left, refused = unsettled(generation, file, told), ""
    while left and time.monotonic() < deadline:
        refused = _ask()
        again = time.monotonic() + ASK_AGAIN  # from here on: what systemd takes is none of the daemon's time
        while not_in_force(generation, file, told) and time.monotonic() < again:
            time.sleep(POLL)
        left = unsettled(generation, file, told)
    if left:
        shown = "; ".join([*left[:10], *([refused] if refused else []), f"the daemon {_doing()}"])
        said = f"its last words: {_last_words()}"
        took = time.monotonic() - began
        raise Unsettled(f"nodeportd does not run generation {generation} after {took:.0f} s: {shown}; {said}")


def _keep_enabled() -> None:
    """Have the link to the unit outlast a power cut (fsync(2): a folder needs its own)."""
    for folder in filter(Path.is_dir, (WANTS, WANTS.parent)):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _ask() -> str:
    """Have systemd start the daemon at boot, and now read its file; why it does not, empty when it does."""
    if not _systemctl("is-enabled", "--quiet"):  # systemd takes a tenth of a second to enable what is enabled already
        _systemctl("enable", "--quiet", "--no-reload")  # to read all units anew takes seconds on an emulated machine
        _keep_enabled()
    # A reload is this signal, by a process in a sandbox of its own, which takes several times as long.
    hangup = ["systemctl", "kill", "--kill-who=main", "--signal=HUP", UNIT]
    active = _systemctl("is-active", "--quiet")
    words, seconds = (hangup, SECONDS) if active else (["systemctl", "restart", UNIT], START_SECONDS)
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"{' '.join(words)} does not end"
    return "" if done.returncode == 0 else f"{' '.join(words)}: {done.stderr.strip()[:300] or done.returncode}"


def _doing() -> str:
    """What the daemon is at: its state and where in the kernel it waits, proc(5)."""
    shown = subprocess.run(
        ["systemctl", "show", "--property=MainPID", "--value", UNIT], check=False, capture_output=True
    )
    own = Path("/proc") / (shown.stdout.decode().strip() or "0")
    try:
        state = own.joinpath("stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return f"is in state {state}, waiting in {own.joinpath('wchan').read_text(encoding='utf-8') or 'nothing'}"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"


def await_pods(file: Path, told: Path) -> Mapping[str, str]:
    """Wait for the pods that come; returns those that did not get ready in time, with the reason.

    A pod that does not get ready is no fault of the node.
    """
    deadline = time.monotonic() + LONGEST
    awaited = coming(file, told)
    left = awaited
    while left and time.monotonic() < deadline:
        time.sleep(POLL)
        left = coming(file, told)
    return {pod: why for pod, why in unready(told).items() if pod in awaited}


def await_lasting(file: Path, told: Path, seconds: int) -> Mapping[str, str]:
    """Wait until the pods that are ready now were so for that long (``minReadySeconds``); those that were not."""
    pods = {check.key for check in state.parse(file.read_bytes()).checks} - unready(told).keys()
    began = time.monotonic()
    deadline, fell, before = began + 2 * seconds + PATIENCE, dict[str, str](), dict[str, str]()
    while time.monotonic() < min(began + seconds, deadline):
        time.sleep(POLL)
        now = {pod: why for pod, why in unready(told).items() if pod in pods}
        began = time.monotonic() if now or before else began  # from the look that found them ready again
        fell, before = fell | now, now
    return {} if time.monotonic() >= began + seconds else fell


def _last_words() -> str:
    """What the daemon, and systemd about it, said last."""
    journal = [
        "journalctl",
        "--unit",
        UNIT,
        "--lines=4",
        "--output=short-precise",
        "--no-hostname",
        "--no-pager",
        "--quiet",
    ]
    done = subprocess.run(journal, check=False, capture_output=True, text=True, errors="replace")
    return " | ".join(done.stdout.split("\n")).strip(" |") or "none"


def _systemctl(*words: str) -> bool:
    return subprocess.run(["systemctl", *words, UNIT], check=False).returncode == 0
