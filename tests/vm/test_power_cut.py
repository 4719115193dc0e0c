"""The power goes right after the first apply: what it wrote has to be on the disks by then, and nodes start by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.drivers import boots
from harness.drivers.vagrant import domains
from harness.session import settle
from harness.session.lab import Lab
from harness.support import clock
from tests.vm.machines import Machines, a_folder

pytestmark = [pytest.mark.lab, pytest.mark.vm]

SOON = 2.0
"""Seconds from the end of the apply to the cut."""

LAZY = (
    "sync; mount -o remount,commit=600 / && sysctl -qw vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=60000"
)
"""Until the next boot the disk gets what somebody asks to be written, not what is five (ext4) or thirty seconds old."""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with a_folder(136, ("bookworm",)) as folder:
        folder.well("--driver", "vagrant", "up")
        yield folder


def test_what_the_first_apply_wrote_outlasts_a_power_cut_right_after_it(machines: Machines) -> None:
    lab = Lab.at(machines.folder, "default", "vagrant")
    cluster = lab.cluster()
    names = [node.name for node in cluster.nodes]
    before = boots.identities(cluster, cluster.nodes)
    for name in names:
        machines.on(name, LAZY)
    machines.well("apply", "-f", "web-app.yaml")
    applied = clock.monotonic()
    domains.each(machines.folder, names, ("destroy", "{}"))
    assert clock.monotonic() - applied < SOON, "too late to show anything"
    domains.each(machines.folder, names, ("start", "{}"))
    boots.until_anew(cluster, before, within=240)
    settle.settle(cluster, lab.applied_plan(cluster), lambda _event: None)
    machines.prove()
