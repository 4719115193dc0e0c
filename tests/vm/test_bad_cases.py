"""What goes wrong with virtual machines, for real: each is told with what mends it, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.drivers.vagrant import domains, host, settings
from harness.support import clock, process
from tests.vm.machines import ROOT, Machines, a_folder

pytestmark = [pytest.mark.lab, pytest.mark.vm]

UP = ("--driver", "vagrant", "up")


@pytest.fixture
def machine() -> Iterator[Machines]:
    """A folder for one machine, which is not made yet."""
    with a_folder(121, ("bookworm",)) as folder:
        yield folder


def up(machine: Machines, **environment: str) -> process.Completed:
    words = [sys.executable, "-m", "harness", *UP]
    return process.run(words, cwd=machine.folder, env={**os.environ, **environment}, timeout=600)


def assert_nothing_is_left(machine: Machines) -> None:
    assert domains.there(machine.folder) == {}
    assert settings.created(machine.folder) == {}


def test_a_box_that_is_missing(machine: Machines) -> None:
    nodes = machine.folder / "inventories/vagrant/nodes.yml"
    text = yaml.safe_load(nodes.read_text())
    text["nodes"][0]["box"] = "nodeport/nowhere"
    nodes.write_text(yaml.safe_dump(text))
    done = up(machine, VAGRANT_SERVER_URL="http://127.0.0.1:9")  # no catalogue is asked
    assert done.code == 4, done.out + done.err
    assert "`make box` builds ours" in done.err
    assert_nothing_is_left(machine)


def test_a_subnet_that_is_in_use(machine: Machines) -> None:
    if not host.NETNS.exists():
        pytest.skip("a libvirt of this machine's own runs them, and its network is left alone")
    if domains.virsh("list", "--name").out.split():
        pytest.skip("machines of other folders run on that network")
    domains.virsh("net-destroy", "nodeport-vms")  # may have been left by other tests
    link = ["ip", "-n", host.NETNS.name, "link"]
    process.check([*link, "add", "taken", "type", "veth", "peer", "name", "taken2"], what="taking the subnet")
    try:
        process.check([*link, "set", "taken", "up"], what="taking the subnet")
        address = ["ip", "-n", host.NETNS.name, "address", "add", "192.168.56.1/24", "dev", "taken"]
        process.check(address, what="taking the subnet")
        done = up(machine)
    finally:
        process.check([*link, "delete", "taken"], what="freeing the subnet")
    assert done.code == 4, done.out + done.err
    assert "192.168.56.0/24 is in use on this machine" in done.err
    assert_nothing_is_left(machine)


def test_ctrl_c_while_machines_are_made(machine: Machines) -> None:
    log = machine.folder / "log"
    with log.open("wb") as stream:
        script = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            f"sys.argv[1:] = {list(UP)!r}; from harness.cli.main import main; main()"
        )
        words = [sys.executable, "-c", script]
        child = process.start(words, cwd=machine.folder, stdout=stream, stderr=process.STDOUT)

    def runs() -> None:
        if not settings.alive(machine.folder):
            raise clock.NotYet(log.read_text())

    try:
        clock.until(runs, what="the machine", within=120)
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(180) == 130, log.read_text()
    finally:
        process.end_group(child)
    assert_nothing_is_left(machine)


@pytest.mark.parametrize("needed", [5, 0], ids=["said before", "found out while it is built"])
def test_a_disk_that_is_full_while_the_box_is_built(needed: int) -> None:
    """In a mount namespace of its own, where the folder of the boxes is a small file system."""
    build = ("import os\nfrom harness.drivers.vagrant import box\nfrom harness.errors import DriverError\n"
             f"box.NEEDED_GB = {needed}\n"
             "try: box.ensure('trixie', 'virtualbox', print)\nexcept DriverError as error: print(error, error.hint)\n"
             "print('left:', os.listdir('/var/cache/nodeport-harness/boxes'))")  # fmt: skip
    script = 'mount -t tmpfs -o size=40m small /var/cache/nodeport-harness/boxes && exec "$@"'
    Path("/var/cache/nodeport-harness/boxes").mkdir(parents=True, exist_ok=True)
    words = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", build]
    done = process.run(words, cwd=ROOT, timeout=600)
    assert done.ok, done.err
    assert "the trixie box was not built: " in done.out
    assert ("GB free, and it takes 5 GB" if needed else "boxes became full; ") in done.out
    assert re.search(r"^left: \['\.[^']*\.lock'\]$", done.out, re.MULTILINE), done.out
