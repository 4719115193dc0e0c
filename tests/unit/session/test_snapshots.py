"""Who may keep snapshots, under which names; and that a Ctrl-C waits where it has to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.session import snapshots
from harness.session.lab import Lab
from harness.support import interrupts


def _quiet(_event: object) -> None:
    pass


@pytest.mark.parametrize(
    "ask",
    [
        lambda lab: snapshots.save(lab, "kept", _quiet),
        lambda lab: snapshots.restore(lab, "kept", _quiet),
        lambda lab: snapshots.delete(lab, "kept"),
        snapshots.known,
    ],
)
def test_machines_of_the_user_are_not_kept(ask: Callable[[Lab], object], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the driver static keeps no snapshots"):
        ask(Lab.at(tmp_path, "lab", "static"))


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Upper", "-dash", "dot.", "x" * 33, "new\nline"])
def test_a_name_that_could_be_a_path_or_an_option_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be a snapshot's name"):
        snapshots.save(Lab.at(tmp_path, "lab", "nspawn"), name, _quiet)


def _change(done: list[str], fault: Exception | None = None) -> None:
    with interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
        if fault is not None:
            raise fault
        done.append("whole")


@pytest.mark.usefixtures("ctrl_c")
def test_a_ctrl_c_waits_for_the_end_of_the_change() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _change(done)
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_an_error_in_the_change_is_not_hidden_by_a_ctrl_c() -> None:
    with pytest.raises(ValueError, match="broken"):
        _change([], ValueError("broken"))
