"""What of somebody else's promises cannot be looked at from here is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.address import IPFamily
from harness.model.cluster import Cluster, Node
from harness.model.expectation import Expectation, PromisedPort, PromisedService
from harness.model.observation import OUTSIDE, Ask
from harness.model.verdict import Status
from harness.model.workload import Protocol
from harness.session.foreign import Look, unjudged
from harness.verdicts import EVERYTHING

SIX = PromisedService(
    "default", "six", (PromisedPort(30086, Protocol.TCP, 80, Ask(), ()),), families=(IPFamily.V6,), written=False
)


def look_of(service: PromisedService) -> Look:
    nodes = (Node("n1", "192.0.2.1"), Node("n2", "192.0.2.2"))
    cluster = Cluster("default", "", "static", nodes, Path("inventory.yml"), Path("ssh_config"))
    return Look(cluster, Expectation((service,)), (OUTSIDE,), ())


@pytest.mark.parametrize(("written", "status"), [(False, Status.SKIP), (True, Status.FAIL)])
def test_a_family_of_which_no_machine_has_a_known_address(written: bool, status: Status) -> None:
    look = look_of(replace(SIX, written=written))
    assert look.cells(EVERYTHING) == ()
    (said,) = unjudged(look)
    assert (said.check, said.subject, said.status) == ("answers", "default/six (IPv6)", status)
    assert "n1, n2: no IPv6 address is known (nodeport_address6 in the inventory)" in said.summary
