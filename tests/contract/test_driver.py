"""What every registered driver must do, whatever its nodes are: the promises of `harness.drivers.Driver`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import drivers
from harness.drivers import Driver, Power, Snapshots, Wish, boots
from harness.errors import UsageError
from harness.model.cluster import Cluster, Node
from harness.support import process

pytestmark = pytest.mark.lab


@pytest.fixture(params=["nspawn", pytest.param("vagrant", marks=[pytest.mark.vm, pytest.mark.long])])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    """A driver that makes nodes, in a folder whose name a shell or ssh_config would stumble over."""
    made = drivers.get(request.param, drivers.Place(tmp_path / "home with 100% spaces", "contract"))
    amiss = [f"{check.name}: {check.found} ({check.mend})" for check in made.doctor() if not check.ok]
    if amiss:
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say(f"{request.param}: " + "; ".join(amiss))
    yield made
    made.down(_quiet)


def _quiet(_line: str) -> None:
    pass


def _ssh(cluster: Cluster, node: Node, command: str) -> str:
    done = process.check(
        ["ssh", "-F", cluster.ssh_config, "-o", "BatchMode=yes", node.name, command], what=f"asking {node.name}"
    )
    return done.out.strip()


def _boots(cluster: Cluster) -> dict[str, str]:
    """What changes whenever a node boots: its kernel's boot, and when its first process began (proc_pid_stat(5))."""
    ask = "cat /proc/sys/kernel/random/boot_id && cut -d ' ' -f 22 /proc/1/stat"
    return {node.name: _ssh(cluster, node, ask) for node in cluster.nodes}


def test_up_leaves_two_files_by_which_every_node_is_reached(driver: Driver, tmp_path: Path) -> None:
    cluster = driver.up(Wish(count=3), _quiet)

    assert [node.name for node in cluster.nodes] == ["n1", "n2", "n3"]
    assert len({node.address for node in cluster.nodes}) == 3
    assert [_ssh(cluster, node, "hostname") for node in cluster.nodes] == ["n1", "n2", "n3"]
    assert _ssh(cluster, cluster.nodes[0], "systemctl is-system-running --wait") == "running"
    (tmp_path / "ansible.cfg").touch()
    done = process.check(
        [
            Path(sys.executable).with_name("ansible"),
            "-i",
            cluster.inventory,
            "nodes",
            "-m",
            "ansible.builtin.ping",
            "-o",
        ],
        what="asking by Ansible",
        env={**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(tmp_path)},
    )
    assert sorted(re.findall(r"^(\S+) \| SUCCESS", done.out, re.MULTILINE)) == ["n1", "n2", "n3"]


def test_every_node_reaches_every_other_and_the_client_reaches_all(driver: Driver) -> None:
    cluster = driver.up(Wish(count=2), _quiet)
    first, second = cluster.nodes

    for node, other in ((first, second), (second, first)):
        assert " 0% packet loss" in _ssh(cluster, node, f"ping -c 1 -W 2 {other.address}")
    inside = ["nsenter", f"--net={cluster.client_netns}"] if cluster.client_netns else []
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 22), timeout=2)"
    for node in cluster.nodes:
        assert process.run([*inside, sys.executable, "-c", connect, node.address]).err == ""


def test_up_again_changes_nothing(driver: Driver) -> None:
    cluster = driver.up(Wish(count=2), _quiet)
    before = _boots(cluster), cluster.inventory.read_bytes(), cluster.ssh_config.read_bytes()

    assert driver.up(Wish(count=2), _quiet) == cluster
    assert (_boots(cluster), cluster.inventory.read_bytes(), cluster.ssh_config.read_bytes()) == before


def test_another_wish_adds_and_removes_only_what_differs(driver: Driver) -> None:
    two = driver.up(Wish(count=2), _quiet)
    boots = _boots(two)

    three = driver.up(Wish(count=3), _quiet)
    assert three.nodes[:2] == two.nodes
    assert three.uid == two.uid
    assert {name: boot for name, boot in _boots(three).items() if name != "n3"} == boots

    one = driver.up(Wish(count=1), _quiet)
    assert one.nodes == two.nodes[:1]
    assert _boots(one) == {"n1": boots["n1"]}
    assert driver.status() == one


def test_planned_is_what_up_then_makes(driver: Driver) -> None:
    planned = driver.planned(Wish(count=2))
    assert driver.status() is None, "planning makes nothing"
    assert driver.up(Wish(count=2), _quiet).nodes == planned.nodes


def test_status_knows_what_runs(driver: Driver) -> None:
    assert driver.status() is None
    cluster = driver.up(Wish(count=1), _quiet)
    assert driver.status() == cluster
    driver.down(_quiet)
    assert driver.status() is None


def test_nodes_made_anew_have_a_new_uid(driver: Driver) -> None:
    first = driver.up(Wish(count=1), _quiet)
    driver.down(_quiet)
    assert driver.up(Wish(count=1), _quiet).uid != first.uid


def test_down_removes_the_two_files_and_can_be_called_again(driver: Driver) -> None:
    cluster = driver.up(Wish(count=1), _quiet)
    driver.down(_quiet)
    assert not cluster.inventory.exists()
    assert not cluster.ssh_config.exists()
    driver.down(_quiet)


@pytest.mark.parametrize("wish", [Wish(count=0), Wish(count=-1), Wish(count=100_000), Wish(releases=("potato",)),
                                  Wish(releases=())])  # fmt: skip
def test_a_wish_that_cannot_be_is_refused_and_makes_nothing(driver: Driver, wish: Wish) -> None:
    with pytest.raises(UsageError):
        driver.up(wish, _quiet)
    assert driver.status() is None


def test_nodes_boot_anew_with_their_disks_and_others_run_on(driver: Driver) -> None:
    assert isinstance(driver, Power)
    cluster = driver.up(Wish(count=2), _quiet)
    first, second = cluster.nodes
    _ssh(cluster, first, "touch kept && sync")
    for boot in (driver.reboot, driver.power_cycle):
        before = boots.identities(cluster, cluster.nodes)
        boot([first], _quiet)
        boots.until_anew(cluster, {first.name: before[first.name]}, driver.boot_seconds)
        assert boots.identities(cluster, [second]) == {second.name: before[second.name]}
        assert _ssh(cluster, first, "ls") == "kept"
        assert driver.status() == cluster


def test_a_kept_state_comes_back_with_its_record(driver: Driver, tmp_path: Path) -> None:
    assert isinstance(driver, Snapshots)
    cluster = driver.up(Wish(count=2), _quiet)
    place = drivers.Place(tmp_path / "home with 100% spaces", "contract")
    place.plan_file.write_text("former")
    assert driver.save_snapshot("kept", _quiet).nodes == ("n1", "n2")
    with pytest.raises(UsageError, match="'kept'"):
        driver.save_snapshot("kept", _quiet)
    before = boots.identities(cluster, cluster.nodes)
    for node in cluster.nodes:
        _ssh(cluster, node, "touch later && sync")
    place.plan_file.write_text("later")

    assert driver.restore_snapshot("kept", _quiet) == cluster
    after = boots.identities(cluster, cluster.nodes)
    assert all(after[node.name] not in ("", before[node.name]) for node in cluster.nodes)
    assert [_ssh(cluster, node, "ls") for node in cluster.nodes] == ["", ""]
    assert place.plan_file.read_text() == "former"

    assert [snapshot.name for snapshot in driver.snapshots()] == ["kept"]
    driver.delete_snapshot("kept")
    assert list(driver.snapshots()) == []
    for use in (lambda: driver.restore_snapshot("kept", _quiet), lambda: driver.delete_snapshot("kept")):
        with pytest.raises(UsageError, match="'kept'"):
            use()
    driver.save_snapshot("gone", _quiet)
    driver.down(_quiet)
    assert list(driver.snapshots()) == [], "what was kept goes with the lab"
