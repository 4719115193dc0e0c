"""What pytest processes tell each other: who lives, who waits, and what is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import RigError
from harness.model.cluster import Node
from harness.model.verdict import Status, Verdict
from harness.pytest_plugin import foreseen, shared
from harness.support import process

ME = shared.Session(os.getpid(), shared.began(os.getpid()))


def test_sessions_that_live_are_kept_and_dead_ones_forgotten(tmp_path: Path) -> None:
    child = process.start(["true"])
    child.wait()
    with shared.record(tmp_path) as found:
        found.sessions |= {"me": ME, "dead": shared.Session(child.pid, "12"), "reused": shared.Session(ME.pid, "1")}
        found.made = True
    with shared.record(tmp_path) as found:
        assert list(found.sessions) == ["me"]
        assert found.made, "the nodes of a dead session are still to be answered for"


def test_what_is_known_when_an_error_comes_is_kept(tmp_path: Path) -> None:
    verdict = Verdict("answers", "outside → n1", Status.PASS, "all", "n1")
    with pytest.raises(ValueError, match="broken"):
        _change(tmp_path, shared.Session(ME.pid, ME.began, verdicts=(verdict,)))
    with shared.record(tmp_path) as found:
        assert found.sessions["me"].verdicts == (verdict,)


def _change(home: Path, session: shared.Session) -> None:
    with shared.record(home) as found:
        found.sessions["me"] = session
        raise ValueError("broken")


def test_nothing_is_left_when_nobody_is(tmp_path: Path) -> None:
    with shared.record(tmp_path) as found:
        found.sessions["me"] = ME
    assert (tmp_path / "pytest.json").exists()
    with shared.record(tmp_path) as found:
        del found.sessions["me"]
    assert not (tmp_path / "pytest.json").exists()


def test_who_waits_too_long_is_told_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "PATIENCE", 0.2)
    with shared.record(tmp_path), pytest.raises(RigError, match=f"process {os.getpid()} is at it"):
        _wait(tmp_path)


def _wait(home: Path) -> None:
    with shared.record(home):
        pass


def test_a_record_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "pytest.json").write_text('{"sessions": 1}')
    with shared.record(tmp_path) as found:
        assert found == shared.Record()


def test_this_very_machine_is_found_among_nodes() -> None:
    nodes = (Node("here", "127.0.0.1"), Node("far", "192.0.2.1"), Node("alias", "127.9.9.9"))
    assert foreseen._here(nodes) == ["here", "alias"]
