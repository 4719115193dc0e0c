"""Snapshots: a known state is put back whole, by itself, and being cut off leaves the former state or the new one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from harness.drivers import Place, Wish
from harness.drivers.nspawn import NspawnDriver, cgroups, state
from harness.drivers.nspawn.names import Names
from harness.errors import DriverError, UsageError
from harness.model.cluster import Cluster
from harness.session.lab import Lab
from harness.support import clock, process
from tests.lab.faults import on

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).parents[2] / "examples"
HARNESS = Path(sys.executable).with_name("harness")
NODES = ("n1", "n2", "n3")


def harness(folder: Path, *words: str | Path, code: int = 0) -> process.Completed:
    done = process.run([HARNESS, "--driver", "nspawn", *words], cwd=folder, timeout=180)
    assert done.code == code, done.out[-2000:] + done.err[-2000:]
    return done


def lab(folder: Path) -> Lab:
    return Lab.at(folder, "default", "nspawn")


def names(folder: Path) -> Names:
    return Names.of(lab(folder).home, "default")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three nodes that ran web-app when the snapshot *green* was taken, and now run httpd; the mark says which."""
    made = tmp_path_factory.mktemp("snapshots")
    try:
        harness(made, "run", "-f", EXAMPLES / "web-app.yaml", "--destroy", "never")
        mark(made, "green")
        harness(made, "snapshot", "save", "green")
        (made / "green.json").write_text(record(made))
        harness(made, "apply", "-f", EXAMPLES / "httpd.yaml")
        mark(made, "other")
        harness(made, "snapshot", "save", "other")
        (made / "other.json").write_text(record(made))
        yield made
    finally:
        lab(made).driver.down(lambda _text: None)


def record(folder: Path) -> str:
    """The files of the record that there are; the plan's own has what it was made of, too."""
    return "".join(file.read_text() for file in lab(folder).place.record if file.exists())


def mark(folder: Path, text: str) -> None:
    cluster = lab(folder).cluster()
    for node in NODES:
        on(cluster, node, f"echo {text} > /root/mark")


def present(folder: Path) -> str:
    """Which of the two states the lab is in; it must be one of them in all that it has, and prove it."""
    which = marked(folder)
    assert record(folder) == (folder / f"{which}.json").read_text(), "the plan must be that of the nodes"
    harness(folder, "verify")
    return which


def marked(folder: Path) -> str:
    """Which of the two states the nodes say that they are in."""
    cluster = lab(folder).cluster()
    found = {on(cluster, node, "cat /root/mark").strip() for node in NODES}
    assert len(found) == 1, f"nodes in different states: {found}"
    return found.pop()


def test_a_broken_cluster_is_green_again_with_its_former_plan_and_nodes(folder: Path) -> None:
    harness(folder, "snapshot", "restore", "other")
    harness(folder, "exec", "n2", "--", "sh", "-c", "rm -r /etc/nodeport; systemctl mask ssh; nft flush ruleset")
    harness(folder, "verify", code=1)
    harness(folder, "up", "--nodes", "1")
    runs = set((lab(folder).home / "runs").iterdir())
    harness(folder, "snapshot", "restore", "green")
    assert present(folder) == "green"
    fresh = set((lab(folder).home / "runs").iterdir()) - runs
    assert fresh, "verify must have left its report"
    assert not [path for run in fresh for path in run.glob("ansible*")], "no Ansible"


def test_what_is_known_is_listed(folder: Path) -> None:
    found = json.loads(harness(folder, "snapshot", "list", "--json").out)
    assert [(one["name"], one["nodes"]) for one in found] == [("green", [*NODES]), ("other", [*NODES])]
    assert "'green' already" in harness(folder, "snapshot", "save", "green", code=2).err
    for verb in ("restore", "delete"):
        assert "known snapshots: green, other" in harness(folder, "snapshot", verb, "none", code=2).err
    assert "cannot be a snapshot's name" in harness(folder, "snapshot", "save", "../up", code=2).err


def _disks_beside(names: Names) -> bool:
    return (names.folder / "restoring" / "n1").exists()


def _counted(names: Names) -> bool:
    known = state.load(names)
    return known is not None and known.restoring != ""


def _half_way(names: Names) -> bool:
    """The first disks have taken their places, the last has not."""
    return _counted(names) and not (names.folder / "restoring" / "n1").exists()


def _new_disks(names: Names) -> bool:
    known = state.load(names)
    return known is not None and not known.restoring and not known.ready


def _cut_off(folder: Path, moment: Callable[[Names], bool], end: Callable[[process.Process[bytes]], None],
             *words: str) -> None:  # fmt: skip
    """Begin ``harness snapshot …`` and end it as soon as the moment has come."""
    child = process.start([HARNESS, "--driver", "nspawn", "snapshot", *words], cwd=folder)

    def come() -> None:
        if not moment(names(folder)):
            raise clock.NotYet(f"it ended with {child.poll()}" if child.poll() is not None else "not there")

    try:
        clock.until(come, what=moment.__name__, within=20, every=0.0005)
        end(child)
    finally:
        process.end_group(child)


def _interrupt(child: process.Process[bytes]) -> None:
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(timeout=60) == 130


def _moments(always: Callable[[Names], bool], *others: Callable[[Names], bool]) -> list[ParameterSet]:
    """Moments of a restore, of which one belongs to the default run."""
    return [
        pytest.param(moment, id=moment.__name__.strip("_"), marks=[pytest.mark.long] if moment in others else [])
        for moment in (always, *others)
    ]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("moment", _moments(_counted, _disks_beside, _new_disks))
def test_ctrl_c_leaves_one_of_the_two_states_and_it_runs(folder: Path, moment: Callable[[Names], bool]) -> None:
    harness(folder, "snapshot", "restore", "other")
    _cut_off(folder, moment, _interrupt, "restore", "green")
    assert present(folder) in (("green", "other") if moment is _disks_beside else ("green",))


@pytest.mark.parametrize("moment", _moments(_half_way, _disks_beside, _new_disks))
def test_up_heals_a_restore_that_was_killed(folder: Path, moment: Callable[[Names], bool]) -> None:
    harness(folder, "snapshot", "restore", "other")
    _cut_off(folder, moment, process.end_group, "restore", "green")
    harness(folder, "up")
    harness(folder, "snapshot", "list")
    assert present(folder) in (("green", "other") if moment is _disks_beside else ("green",))
    assert not (names(folder).folder / "restoring").exists()


def _archived(names: Names) -> bool:
    return any((names.folder / "snapshots").glob(".third.part/n*.tar"))


def test_a_save_that_was_killed_leaves_nodes_that_run_and_no_snapshot(folder: Path) -> None:
    before = marked(folder)
    _cut_off(folder, _archived, process.end_group, "save", "third")
    assert present(folder) == before
    found = json.loads(harness(folder, "snapshot", "list", "--json").out)
    assert [one["name"] for one in found] == ["green", "other"]
    harness(folder, "snapshot", "save", "third")
    harness(folder, "snapshot", "delete", "third")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[NspawnDriver]:
    made = NspawnDriver(Place(tmp_path, "lab"))
    yield made
    made.down(_quiet)


def _quiet(_line: str) -> None:
    pass


def _ask(cluster: Cluster, command: str) -> str:
    done = process.run(["ssh", "-F", cluster.ssh_config, "-o", "BatchMode=yes", "n1", command])
    assert done.ok, done
    return done.out.strip()


_CHANGES = """
set -e
rm -r /etc/debian_version /etc/apt; mkdir /etc/apt; touch /etc/apt/mine
chown 1234:4321 /etc/apt/mine; chmod 4750 /etc/apt/mine; ln /etc/apt/mine /etc/apt/same
mv /etc/cron.d /etc/cron.moved; mkfifo /etc/apt/fifo; truncate -s 50M /etc/apt/holes
python3 -c 'import os; os.setxattr("/etc/apt/mine", "user.kept", b"yes")'
touch -d '2001-02-03 04:05:06.789' /etc/apt/holes
"""
_LISTING = """
cd /etc; find . ! -name mtab -printf '%p %y %m %U:%G %n %s %T@ %l\n' | grep -v '^\\. ' | sort
python3 -c 'import os; print(os.getxattr("/etc/apt/mine", "user.kept"))'
"""


def test_a_disk_comes_back_with_all_that_a_disk_has(driver: NspawnDriver) -> None:
    cluster = driver.up(Wish(count=1), _quiet)
    _ask(cluster, _CHANGES)
    before = _ask(cluster, _LISTING)
    driver.save_snapshot("kept", _quiet)
    _ask(cluster, "rm -r /etc/apt /etc/cron.moved; touch /etc/debian_version; echo changed > /etc/hostname")
    assert _ask(cluster, _LISTING + "true") != before
    assert driver.restore_snapshot("kept", _quiet) == cluster
    assert _ask(cluster, _LISTING) == before


def test_what_is_not_whole_is_refused_and_the_nodes_stay_as_they_are(driver: NspawnDriver) -> None:
    with pytest.raises(DriverError, match="does not run"):
        driver.save_snapshot("kept", _quiet)
    cluster = driver.up(Wish(count=1), _quiet)
    began = _ask(cluster, "cut -d ' ' -f 22 /proc/1/stat")
    driver.save_snapshot("kept", _quiet)
    archive = driver.names.folder / "snapshots/kept/n1.tar"
    archive.write_bytes(archive.read_bytes()[:-4096])
    with pytest.raises(DriverError, match=r"'kept' is damaged: the disk of n1 is not what was kept"):
        driver.restore_snapshot("kept", _quiet)
    assert driver.status() == cluster
    assert _ask(cluster, "cut -d ' ' -f 22 /proc/1/stat") == began
    driver.delete_snapshot("kept")
    assert driver.snapshots() == []
    with pytest.raises(UsageError, match="known snapshots: none"):
        driver.restore_snapshot("kept", _quiet)


def test_nodes_hold_still_together_and_run_again_though_nobody_lets_them(driver: NspawnDriver) -> None:
    cluster = driver.up(Wish(count=2), _quiet)
    machines = [driver.names.machine(node.name) for node in cluster.nodes]
    asking = ["ssh", "-F", str(cluster.ssh_config), "n1", "echo"]
    with cgroups.frozen(machines):
        child = process.start(asking)
        with pytest.raises(DriverError, match="to answer"):
            clock.until(lambda: _ended(child), what="n1 to answer", within=0.5, failure=DriverError)
    assert child.wait(timeout=10) == 0


def _ended(child: process.Process[bytes]) -> None:
    if child.poll() is None:
        raise clock.NotYet("nothing yet")


def test_a_disk_that_is_full_is_said_and_nothing_is_half_kept(driver: NspawnDriver) -> None:
    cluster = driver.up(Wish(count=1), _quiet)
    _ask(cluster, "head -c 2000000 /dev/urandom > /root/large")
    place = driver.names.folder / "snapshots"
    place.mkdir()
    process.check(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], what="mounting a small disk")
    try:
        with pytest.raises(DriverError, match=r"keeping the disk of n1: .*No space left|is the disk full"):
            driver.save_snapshot("kept", _quiet)
        assert driver.snapshots() == []
        assert list(place.iterdir()) == []
    finally:
        process.check(["umount", place], what="unmounting it")
    assert _ask(cluster, "hostname") == "n1", "the node runs on"
    driver.save_snapshot("kept", _quiet)
    small = driver.names.folder / "restoring"
    small.mkdir()
    assert driver.restore_snapshot("kept", _quiet) == cluster, "what was left is cleared away"
    assert _ask(cluster, "stat -c %s /root/large") == "2000000"
