"""What a drill may do to whose nodes, asked and unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.session.lab import Lab
from harness.session.scenarios import PLAYS, chosen

GENTLE = {"rolling-restart", "scale-up", "scale-down", "pod-deleted", "node-drained", "forwarder-reload"}
KILLS = {"forwarder-killed", "pod-killed"}
NODES = {"node-rebooted", "node-cut"}


@pytest.mark.parametrize(
    ("driver", "destructive", "done"),
    [
        ("nspawn", False, GENTLE | KILLS),
        ("nspawn", True, GENTLE | KILLS | NODES),
        ("static", False, GENTLE),
        ("static", True, GENTLE | KILLS),
    ],
)
def test_what_is_done_when_nothing_is_named(tmp_path: Path, driver: str, destructive: bool, done: set[str]) -> None:
    lab = Lab.at(tmp_path, "lab", driver)
    assert {play.name for play in chosen(lab, [], destructive=destructive)} == done


def test_every_scenario_is_of_one_kind() -> None:
    assert {play.name for play in PLAYS} == GENTLE | KILLS | NODES


@pytest.mark.parametrize("name", sorted(KILLS))
def test_on_machines_of_the_user_what_breaks_something_is_asked_for_besides(tmp_path: Path, name: str) -> None:
    mine, ours = Lab.at(tmp_path, "lab", "static"), Lab.at(tmp_path, "lab", "nspawn")
    with pytest.raises(UsageError, match=f"{name} would break something .*--destructive asks for it"):
        chosen(mine, ["scale-up", name], destructive=False)
    assert [play.name for play in chosen(mine, [name], destructive=True)] == [name]
    assert [play.name for play in chosen(ours, [name], destructive=False)] == [name]


@pytest.mark.parametrize("name", sorted(NODES))
def test_what_the_driver_cannot_do_is_refused_before_anything_is_done(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: the driver static does not reboot its nodes"):
        chosen(Lab.at(tmp_path, "lab", "static"), ["scale-up", name], destructive=True)
    assert [play.name for play in chosen(Lab.at(tmp_path, "lab", "nspawn"), [name], destructive=False)] == [name]
