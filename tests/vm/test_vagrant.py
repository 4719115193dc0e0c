"""Three virtual machines from the Vagrantfile, proved as the nspawn nodes are. The tests build on each other."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.drivers.vagrant import domains, host, settings
from harness.support import process

if TYPE_CHECKING:
    from tests.vm.conftest import Machines

pytestmark = pytest.mark.vm


def test_machines_with_a_kernel_of_their_own_prove_the_contract(machines: Machines) -> None:
    assert "every node runs generation" in machines.said
    verified = machines.harness("verify")
    assert verified.ok, verified.out + verified.err
    assert "driver vagrant" in verified.err
    assert machines.ssh("n1", "uname -r").out not in ("", process.run(["uname", "-r"]).out)


def test_a_machine_whose_power_was_cut_comes_back_by_itself(machines: Machines) -> None:
    """`reboot` fails when the node does not run what it was given within 30 s of SSH; no Ansible runs."""
    booted = machines.harness("reboot", "n2", "--hard")
    assert booted.ok, booted.out + booted.err
    verified = machines.harness("verify")
    assert verified.ok, verified.out + verified.err


def test_a_machine_that_does_not_forward_is_found(machines: Machines) -> None:
    assert machines.ssh("n3", "systemctl stop nodeportd && nft flush table ip nodeport").ok
    try:
        verified = machines.harness("verify")
        assert verified.code == 1, verified.out + verified.err
        assert "n3" in verified.out
    finally:
        assert machines.ssh("n3", "systemctl restart nodeportd").ok


def test_two_vagrants_at_once_are_refused(machines: Machines) -> None:
    with (machines.folder / ".vagrant/nodeport.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        up = process.run(["vagrant", "up"], cwd=machines.folder)
    assert not up.ok
    assert "Another Vagrant makes or removes the machines" in up.out + up.err


def test_the_private_libvirt_is_not_stopped_under_machines(machines: Machines) -> None:
    assert machines.making.poll() == 0
    if not host.NETNS.exists():
        pytest.skip("a libvirt of this machine's own runs them")
    stop = process.run([sys.executable, "-m", "harness.drivers.vagrant", "host", "stop"], cwd=machines.folder)
    assert not stop.ok
    assert "virtual machines run: nodeport-" in stop.err


def test_destroyed_machines_leave_nothing_behind(machines: Machines) -> None:
    """Nor does one that Vagrant has forgotten, and one that was deleted behind our back is no trouble."""
    assert set(domains.there(machines.folder)) == {"n1", "n2", "n3"}
    shutil.rmtree(machines.folder / ".vagrant/machines/n3")
    domains.remove(machines.folder, ["n1"])
    down = machines.harness("--driver", "vagrant", "down")
    assert down.ok, down.err
    assert domains.there(machines.folder) == {}
    assert settings.created(machines.folder) == {}
    assert not list(Path("/var/lib/libvirt/images").glob(f"{domains.prefix(machines.folder)}*"))
