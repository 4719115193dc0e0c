"""Questions to a node that are not answered in time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import testinfra

from harness.model.observation import NodeFacts
from harness.model.verdict import Status
from harness.probes import state
from harness.verdicts.nodestate import judge_nodes


def test_no_answer_in_time_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved node that was slow to look for drift was once judged as altered."""
    monkeypatch.setattr(state, "_COMMAND_SECONDS", 1)
    host = testinfra.get_host("local://")
    with pytest.raises(state.Unanswered, match="`sleep 60` took longer than 1 s"):
        state._run(host, "sleep 60")
    assert state._run(host, "false").rc == 1


def test_a_relay_that_is_too_busy_to_tell_is_not_taken_for_an_altered_one() -> None:
    """A relay under load was once judged as altered."""
    busy = NodeFacts(
        "n1", reachable=True, generation=3, forwarder_running=True, table_present=True, masquerade_present=True,
        ip_forward=True, backend="socat", busy="the relay at /run/x was too busy to answer within 5 s",
    )  # fmt: skip
    (verdict,) = judge_nodes([busy], 3, {})
    assert verdict.status is Status.INCONCLUSIVE
    assert "is as nodeportd left it is not known: the relay at /run/x was too busy" in verdict.summary
    assert "altered" not in verdict.summary
    (worse,) = judge_nodes([replace(busy, ip_forward=False)], 3, {})
    assert worse.status is Status.FAIL, "what is known to be wrong is wrong"
