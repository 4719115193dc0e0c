"""Three virtual machines from their making to their end, as a person would go about it. The tests build on each other.

This is what the default run has of virtual machines: each step costs a machine without KVM dozens of seconds of CPU, so
there is one cluster and each step shows several things. The rest is in the other files here, `make vm-test`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.drivers.vagrant import domains, settings
from harness.support import process
from tests.vm.machines import Machines, a_folder

pytestmark = pytest.mark.lab

MOST_MB = 768
CONNECTIONS = 131072
"""kube-proxy's ``--conntrack-min``; the kernel's own limit for so little memory is 3072, and it drops the rest."""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with a_folder(101) as made:
        yield made


def test_vagrant_up_by_hand_and_then_the_harness_proves_the_contract(machines: Machines) -> None:
    up = machines.vagrant("up")
    assert up.ok, up.out + up.err
    said = machines.prove("run", "-f", "web-app.yaml")
    assert "driver vagrant (this folder's vagrant machines run)" in said
    assert settings.alive(machines.folder) == {"n1", "n2", "n3"}, "left as they were found"
    assert machines.on("n1", "uname -r") != process.run(["uname", "-r"]).out.strip()
    assert max(machines.resident()) < MOST_MB
    assert int(machines.on("n1", "cat /proc/sys/net/netfilter/nf_conntrack_max")) >= CONNECTIONS


def test_a_power_cut_is_survived_and_what_does_not_forward_is_found(machines: Machines) -> None:
    """`reboot` fails when the node does not run what it was given soon after SSH answers; no Ansible runs."""
    machines.well("reboot", "n2", "--hard")
    machines.on("n3", "systemctl stop nodeportd && nft flush table ip nodeport")
    found = machines.harness("verify")
    assert found.code == 1, found.out + found.err
    verdicts = machines.report()["verdicts"]
    failed = {verdict["node"] for verdict in verdicts if verdict["status"] == "FAIL"}
    assert failed == {"n3"}, [verdict["summary"] for verdict in verdicts if verdict["status"] == "FAIL"]
    booted = [verdict for verdict in verdicts if verdict["node"] == "n2"]
    assert {"n1", "n3", "outside"} <= {verdict["vantage"] for verdict in booted if verdict["check"] == "coverage"}
    assert all(verdict["status"] != "FAIL" for verdict in booted)


def test_destroyed_machines_leave_nothing_behind(machines: Machines) -> None:
    destroyed = machines.vagrant("destroy", "-f")
    assert destroyed.ok, destroyed.out + destroyed.err
    assert domains.there(machines.folder) == {}
    assert settings.created(machines.folder) == {}
    assert not list(Path("/var/lib/libvirt/images").glob(f"{domains.prefix(machines.folder)}*"))
