"""Pods have to be ready for a while in one go before a change goes on."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Timer

import pytest
from nodeportd import settle

from harness.support import clock
from tests.lab.nodeportd_rig import PODS, state
from tests.lab.test_readiness import check


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A state with two pods that are asked, and the status of a daemon that finds both ready."""
    file, told = tmp_path / "state.json", tmp_path / "status.json"
    file.write_text(json.dumps({**state(1), "checks": [check(address) for address in PODS[:2]]}))
    tell(told)
    return file, told


def tell(told: Path, **unready: str) -> None:
    new = told.with_suffix(".new")
    new.write_text(
        json.dumps({"unready": {f"default/{pod.replace('_', '-')}": {"why": why} for pod, why in unready.items()}})
    )
    new.replace(told)


def test_who_is_ready_all_the_time_is_waited_for_no_longer(files: tuple[Path, Path]) -> None:
    began = clock.monotonic()
    assert settle.await_lasting(*files, 2) == {}
    assert 2 <= clock.monotonic() - began < 4


def test_who_falls_is_waited_for_anew(files: tuple[Path, Path]) -> None:
    began = clock.monotonic()
    timers = [Timer(0.5, tell, [files[1]], {"pod_3": "refused"}), Timer(0.8, tell, [files[1]])]
    for timer in timers:
        timer.start()
    assert settle.await_lasting(*files, 1) == {}
    assert clock.monotonic() - began >= 1.8


def test_who_falls_and_stays_so_is_named(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "PATIENCE", 0.2)
    timer = Timer(0.5, tell, [files[1]], {"pod_3": "refused"})
    timer.start()
    assert settle.await_lasting(*files, 1) == {"default/pod-3": "refused"}


def test_who_was_not_ready_before_is_let_be(files: tuple[Path, Path]) -> None:
    tell(files[1], pod_2="refused")
    assert settle.await_lasting(*files, 1) == {}
