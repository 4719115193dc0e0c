"""A phase is told and kept, also one that breaks."""

from __future__ import annotations

import pytest

from harness.errors import DriverError
from harness.model.progress import Event, PhaseEnded, PhaseStarted
from harness.session.phases import Phases


def test_a_phase_is_announced_timed_and_kept() -> None:
    told: list[Event] = []
    phases = Phases(told.append)
    with phases.phase("up") as summary:
        summary.text = "3 nodes"
    assert told[0] == PhaseStarted("up")
    assert isinstance(told[1], PhaseEnded)
    assert (told[1].summary, told[1].failed) == ("3 nodes", False)
    assert [(phase.name, phase.error) for phase in phases.done] == [("up", "")]


def test_an_error_is_kept_with_its_phase_and_goes_on_its_way() -> None:
    told: list[Event] = []
    phases = Phases(told.append)
    with pytest.raises(DriverError), phases.phase("up"):
        raise DriverError("n2 does not boot", hint="look at its console")
    assert phases.done[0].error == "n2 does not boot (look at its console)"
    assert isinstance(told[-1], PhaseEnded)
    assert told[-1].failed
