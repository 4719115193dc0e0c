"""How a survey goes about nodes of different strength."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import plan
from harness.model.cluster import Cluster
from harness.model.workload import Workload
from harness.session import survey
from tests.unit.plan.sample import LAB, nodes

CLUSTER = Cluster("test", LAB, "any", tuple(nodes(3)), Path("inventory.yml"), Path("ssh_config"))
VANTAGES = ["outside", "n1", "n2", "n3", "pod/a", "pod/b", "pod/c"]


@pytest.mark.parametrize(
    ("emulated", "backend", "most"), [(False, "nftables", 7 * 32), (False, "socat", 64), (True, "nftables", 28)]
)
def test_fewer_attempts_are_under_way_where_each_is_dear(emulated: bool, backend: str, most: int) -> None:
    wanted = plan.build(Workload(), [replace(node, forwarder=backend) for node in nodes(3)], LAB, None)
    pace = survey.pace(replace(CLUSTER, emulated=emulated), wanted, VANTAGES)
    assert 2 <= pace.concurrency <= most // len(VANTAGES)
    dead = 3 * 20 * pace.connect_seconds / pace.concurrency
    assert dead < pace.seconds, "a first round in which nobody answers"
