"""Machines that do not boot: each is named, its console is shown, nothing half done stays, the others run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.drivers.vagrant import domains, settings
from harness.support import clock, process
from tests.vm.machines import Machines, a_folder

pytestmark = [pytest.mark.lab, pytest.mark.vm]

UP = ("--driver", "vagrant", "up")
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
PANIC = "Kernel panic - not syncing"
BLANK = "nodeport/blank"


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with a_folder(141, ("bookworm", "bookworm")) as folder:
        yield folder


@pytest.fixture
def blank_box(tmp_path: Path) -> Iterator[None]:
    """A box whose disk has no boot sector."""
    image = tmp_path / "box.img"
    process.check(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "1G"], what="making an empty disk")
    (tmp_path / "metadata.json").write_text('{"provider": "libvirt", "format": "qcow2", "virtual_size": 1}')
    process.check(
        ["tar", "-C", tmp_path, "-cf", tmp_path / "b.box", "box.img", "metadata.json"], what="packing the box"
    )
    process.check(["vagrant", "box", "add", "--force", "--name", BLANK, tmp_path / "b.box"], what="adding the box")
    yield
    process.check(["vagrant", "box", "remove", "--force", BLANK], what="removing the box")
    for line in domains.virsh("vol-list", "default").out.splitlines():
        if "VAGRANTSLASH-blank_" in line:
            domains.virsh("vol-delete", line.split()[0], "--pool", "default")


def box_of(machines: Machines, name: str, box: str) -> None:
    path = machines.folder / settings.FILE
    nodes = yaml.safe_load(path.read_text())["nodes"]
    path.write_text(
        yaml.safe_dump({"nodes": [{**node, "box": box} if node["name"] == name else node for node in nodes]})
    )


@pytest.mark.usefixtures("blank_box")
def test_a_new_machine_that_does_not_boot_goes_and_the_other_stays(machines: Machines) -> None:
    box_of(machines, "n2", BLANK)
    done = machines.harness(*UP)
    box_of(machines, "n2", "nodeport/bookworm")
    assert done.code == 4, done.out + done.err
    assert "the guests run under " in done.err
    assert "n2 does not boot: it has said nothing on its console for 120 s" in done.err
    assert "n1 does not boot" not in done.err
    assert "`harness up`" in done.err
    assert set(domains.there(machines.folder)) == {"n1"}
    assert settings.alive(machines.folder) == {"n1"}
    assert not list(Path("/var/lib/libvirt/images").glob(f"{domains.prefix(machines.folder)}n2*"))


def test_mended_it_is_made_beside_the_other(machines: Machines) -> None:
    began = domains.there(machines.folder)["n1"]
    machines.well(*UP)
    assert domains.there(machines.folder)["n1"] == began
    assert settings.alive(machines.folder) == {"n1", "n2"}


def test_a_machine_that_does_not_come_back_from_a_reboot_is_told_soon(machines: Machines) -> None:
    """Its initial RAM disk is gone, so its kernel finds no root."""
    before = machines.on("n1", BOOT_ID)
    machines.on("n2", "cp /initrd.img /initrd.kept && echo nothing >$(readlink -f /initrd.img) && sync")
    began = clock.monotonic()
    done = machines.harness("reboot", "n2")
    assert clock.monotonic() - began < 200, "long before the wait for a boot is over"
    assert done.code == 4, done.out + done.err
    assert f"n2 does not boot: {PANIC}" in done.err
    assert f"{domains.prefix(machines.folder)}n2-console.log" in done.err
    assert "`vagrant destroy -f NODE`" in done.err
    assert machines.on("n1", BOOT_ID) == before


def test_up_says_so_of_a_machine_that_hangs_and_run_of_one_that_is_off(machines: Machines) -> None:
    before = machines.on("n1", BOOT_ID)
    done = machines.harness(*UP)
    assert done.code == 4, done.out + done.err
    assert f"n2 does not boot: {PANIC}" in done.err
    assert "console of n2" in done.err
    assert "Can't open blockdev" in done.err, "what led to it"
    assert "console of n1" not in done.err
    assert settings.alive(machines.folder) == {"n1"}, "a kernel that has panicked takes a core"
    assert set(domains.there(machines.folder)) == {"n1", "n2"}, "its disk is the user's"
    ran = machines.harness("--driver", "vagrant", "run", "-f", "web-app.yaml")
    assert ran.code == 4, ran.out + ran.err
    assert f"n2 does not boot: {PANIC}" in ran.err
    (rig,) = (verdict for verdict in machines.report()["verdicts"] if verdict["check"] == "rig")
    assert rig["status"] == "ERROR"
    assert "console of n2" in rig["summary"]
    assert settings.alive(machines.folder) == {"n1"}
    assert set(domains.there(machines.folder)) == {"n1", "n2"}
    assert machines.on("n1", BOOT_ID) == before


def test_made_anew_as_the_advice_says_all_is_well(machines: Machines) -> None:
    before = machines.on("n1", BOOT_ID)
    destroyed = machines.vagrant("destroy", "-f", "n2")
    assert destroyed.ok, destroyed.out + destroyed.err
    machines.well(*UP)
    assert machines.on("n1", BOOT_ID) == before
    assert machines.on("n2", "hostname") == "n2"
