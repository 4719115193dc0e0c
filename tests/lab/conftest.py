"""What every test of a module's ``lab`` asks for: its nodes, and the plan that is in force on them."""

from __future__ import annotations

import pytest

from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.session.lab import Lab


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return lab.cluster()


@pytest.fixture(scope="module")
def plan(lab: Lab, cluster: Cluster) -> Plan:
    applied = lab.applied_plan(cluster)
    assert applied is not None
    return applied
