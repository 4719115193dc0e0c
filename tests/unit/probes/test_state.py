"""Questions to a node that are not answered in time."""

from __future__ import annotations

import pytest
import testinfra

from harness.probes import state


def test_no_answer_in_time_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved node that was slow to look for drift was once judged as altered."""
    monkeypatch.setattr(state, "_COMMAND_SECONDS", 1)
    host = testinfra.get_host("local://")
    with pytest.raises(state.Unanswered, match="`sleep 60` took longer than 1 s"):
        state._run(host, "sleep 60")
    assert state._run(host, "false").rc == 1
