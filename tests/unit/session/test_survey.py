"""How a survey goes about nodes of different strength."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import plan
from harness.model.cluster import Cluster
from harness.model.progress import Event, Step
from harness.model.workload import Workload
from harness.probes.program import MAX_SECONDS
from harness.session import survey
from tests.unit.plan.sample import LAB, nodes

CLUSTER = Cluster("test", LAB, "any", tuple(nodes(3)), Path("inventory.yml"), Path("ssh_config"))
VANTAGES = ["outside", "n1", "n2", "n3", "pod/a", "pod/b", "pod/c"]


@pytest.mark.parametrize(
    ("emulated", "backend", "most"),
    [(False, "nftables", 7 * 32), (False, "socat", 64), (True, "nftables", 28), (True, "socat", 14)],
)
def test_fewer_attempts_are_under_way_where_each_is_dear(emulated: bool, backend: str, most: int) -> None:
    wanted = plan.build(Workload(), [replace(node, forwarder=backend) for node in nodes(3)], LAB, None)
    pace = survey.pace(replace(CLUSTER, emulated=emulated), wanted, VANTAGES)
    assert bool(pace.each_node) == (emulated and backend == "socat"), "and a node alone gets no more at once"
    assert 2 <= pace.concurrency <= most // len(VANTAGES)
    dead = 3 * 20 * pace.connect_seconds / pace.concurrency
    assert dead < pace.seconds <= MAX_SECONDS, "a first round in which nobody answers"


def test_a_round_that_takes_long_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line now and then, whoever is heard of; what was made before this round counts too."""
    told: list[Event] = []
    monkeypatch.setattr(survey, "TELLING", 3600.0)
    survey.Watched(told.append, 36, 900)("n1", 5)
    assert told == []
    monkeypatch.setattr(survey, "TELLING", 0.0)
    watched = survey.Watched(told.append, 36, 900)
    for vantage, done in (("n1", 5), ("outside", 20), ("n1", 12)):
        watched(vantage, done)
    assert [each.text for each in told if isinstance(each, Step)] == [
        "41 probes, 5 of 900 in this round", "61 probes, 25 of 900 in this round", "68 probes, 32 of 900 in this round"
    ]  # fmt: skip
