"""The nspawn driver's own promises: no trace, healing after a kill at any moment, reboots, two labs at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.drivers import Place, Wish
from harness.drivers.nspawn import NspawnDriver, cgroups, lock, machine, recipe, root
from harness.drivers.nspawn.names import LABS, Names
from harness.errors import DriverError
from harness.model.cluster import Cluster
from harness.support import clock, netns, process

pytestmark = pytest.mark.lab


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[NspawnDriver]:
    made = NspawnDriver(Place(tmp_path, "lab"))
    yield made
    made.down(_quiet)


def _quiet(_line: str) -> None:
    pass


def _ssh(cluster: Cluster, node: str, command: str) -> process.Completed:
    return process.run(["ssh", "-F", cluster.ssh_config, "-o", "BatchMode=yes", node, command])


def _ask(cluster: Cluster, node: str, command: str) -> str:
    done = _ssh(cluster, node, command)
    assert done.ok, done
    return done.out.strip()


def _began(cluster: Cluster, node: str) -> str:
    """When the node's first process began: another moment after every boot."""
    return _ask(cluster, node, "cut -d ' ' -f 22 /proc/1/stat")


def _traces(driver: NspawnDriver) -> list[str]:
    """Everything on this machine that bears the lab's id: files, namespaces, groups, mounts, processes, links."""
    names = driver.names
    places = [Path("/run"), netns.FOLDER, Path("/run/systemd/nspawn/propagate"), LABS]
    places += [path / "nodeport-harness" for path in cgroups.hierarchies()]
    found = [str(path) for place in places for path in place.glob(f"*{names.id}*")]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if names.id in line]
    found += [line for line in process.run(["ip", "-oneline", "link"]).out.splitlines() if names.id in line]
    marks = (names.id.encode(), str(driver.home).encode())
    for pid, words in machine.process_table():
        if any(mark in word for mark in marks for word in words):
            found.append(f"process {pid}: {b' '.join(words).decode()}")
    return found + [str(path) for path in (driver.home / "inventory.yml", driver.home / "ssh_config") if path.exists()]


def _nspawn_locks(inodes: set[int]) -> list[Path]:
    """What systemd-nspawn locks of these roots, told by their inodes."""
    return [path for inode in inodes for path in Path("/run/systemd/nspawn/locks").glob(f"inode-*:{inode}")]


def _links() -> list[str]:
    return [line.split(":")[1] for line in process.run(["ip", "-oneline", "link"]).out.splitlines()]


def test_down_leaves_no_trace(driver: NspawnDriver) -> None:
    links = _links()
    cluster = driver.up(Wish(count=3), _quiet)
    client = process.start(["nsenter", f"--net={cluster.client_netns}", "sleep", "600"])
    try:
        assert _links() == links, "nothing of the lab may be on the host's own network"
        assert any("[mux]" in trace for trace in _traces(driver)), "the test must see what it looks for"
        inodes = {path.stat().st_ino for path in driver.names.folder.glob("n*/upper")}
        assert _nspawn_locks(inodes), "the test must see what it looks for"
        driver.down(_quiet)
        assert client.wait(timeout=5) == -signal.SIGKILL, "a client left in the fabric would keep it alive"
        assert _traces(driver) == []
        assert _nspawn_locks(inodes) == []
    finally:
        process.end_group(client)


def _folder(names: Names) -> Path:
    return names.folder


def _fabric(names: Names) -> Path:
    return netns.FOLDER / names.fabric


def _first_key(names: Names) -> Path:
    return names.folder / "keys/lab.pub"


def _last_overlay(names: Names) -> Path:
    return names.folder / "n3/upper/root/.ssh/authorized_keys"


def _last_supervisor(names: Names) -> Path:
    return names.folder / "n3/pid"


def _last_namespace(names: Names) -> Path:
    return netns.FOLDER / names.machine("n3")


def _sockets(names: Names) -> Path:
    return names.sockets


MOMENTS = (_folder, _fabric, _first_key, _last_overlay, _last_supervisor, _last_namespace, _sockets)


def _cut_off(driver: NspawnDriver, sign: Path, setup: str = "") -> None:
    """Run ``up`` in a process of its own, and kill that with its session as soon as ``sign`` is there."""
    program = f"""
from pathlib import Path
from harness.drivers import Place, Wish
from harness.drivers.nspawn import NspawnDriver
{setup}
NspawnDriver(Place(Path({str(driver.home)!r}), {driver.lab!r})).up(Wish(count=3), print)
"""
    child = process.start([sys.executable, "-c", program])

    def there() -> None:
        if not sign.exists():
            raise clock.NotYet(f"`up` ended with {child.poll()}" if child.poll() is not None else "not there")

    try:
        clock.until(there, what=str(sign), within=30, every=0.001)
    finally:
        process.end_group(child)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__.strip("_"))
def test_down_after_a_kill_at_any_moment_leaves_no_trace(driver: NspawnDriver, moment: Callable[[Names], Path]) -> None:
    _cut_off(driver, moment(driver.names))
    assert driver.status() is None, "a lab of which `up` never finished does not run"
    driver.down(_quiet)
    assert _traces(driver) == []


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__.strip("_"))
def test_up_after_a_kill_at_any_moment_heals(driver: NspawnDriver, moment: Callable[[Names], Path]) -> None:
    _cut_off(driver, moment(driver.names))
    cluster = driver.up(Wish(count=3), _quiet)
    assert [_ask(cluster, node.name, "hostname") for node in cluster.nodes] == ["n1", "n2", "n3"]
    assert driver.status() == cluster


def test_a_disk_that_was_half_removed_is_not_booted(driver: NspawnDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.up(Wish(count=2), _quiet)

    def cut_off(folder: Path, **_options: object) -> None:
        (folder / "upper/etc/hostname").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr("harness.drivers.nspawn.disk.shutil.rmtree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            driver.down(_quiet)
    cluster = driver.up(Wish(count=2), _quiet)
    assert [_ask(cluster, node.name, "hostname") for node in cluster.nodes] == ["n1", "n2"]
    assert [_ask(cluster, node.name, "cat /etc/hostname") for node in cluster.nodes] == ["n1", "n2"]


def test_a_kill_while_growing_keeps_what_ran(driver: NspawnDriver) -> None:
    began = _began(driver.up(Wish(count=1), _quiet), "n1")
    _cut_off(driver, _last_supervisor(driver.names))
    assert driver.status() is None
    assert _began(driver.up(Wish(count=3), _quiet), "n1") == began


def test_a_lab_that_never_answered_does_not_run(driver: NspawnDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = driver.up(Wish(count=1), _quiet)
    with monkeypatch.context() as impatient:
        impatient.setattr("harness.drivers.nspawn.driver._BOOT_SECONDS", 0.0)
        with pytest.raises(DriverError, match="no SSH within 0 s"):
            driver.up(Wish(count=2), _quiet)
    assert set(driver._running(driver.planned(Wish(count=2)).nodes)) >= set(cluster.nodes)
    assert driver.status() is None
    assert driver.up(Wish(count=2), _quiet).uid == cluster.uid


def test_a_build_dies_with_the_harness_and_is_cleared_away(
    driver: NspawnDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "roots"
    monkeypatch.setattr(recipe, "CACHE", cache)
    whole = recipe.path("bookworm")
    partial = whole.with_name(f".{whole.name}.part")
    _cut_off(
        driver, partial / "usr", setup=f"from harness.drivers.nspawn import recipe\nrecipe.CACHE = Path({str(cache)!r})"
    )

    def dead() -> None:
        if left := [
            words for _, words in machine.process_table() if any(str(cache).encode() in word for word in words)
        ]:
            raise clock.NotYet(f"{left}")

    clock.until(dead, what="the build to end", within=5)
    assert str(cache) not in Path("/proc/self/mountinfo").read_text()
    assert not whole.exists(), "an interrupted build never counts"
    driver.down(_quiet)
    assert not partial.exists()


def test_two_labs_at_once_wait_for_one_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "CACHE", tmp_path)
    builds: list[Path] = []
    said: list[str] = []

    def build(_release: str, path: Path) -> None:
        builds.append(path)
        clock.until(other_waits, what="the other lab to wait", within=5, every=0.01)
        path.mkdir()

    def other_waits() -> None:
        if "another lab builds the bookworm root; waiting for it" not in said:
            raise clock.NotYet(f"{said}")

    monkeypatch.setattr(root, "_build", build)
    with ThreadPoolExecutor() as pool:
        roots = list(pool.map(lambda _: root.ensure("bookworm", said.append), range(2)))
    assert roots == [recipe.path("bookworm")] * 2
    assert len(builds) == 1


def test_roots_of_former_recipes_go_when_no_lab_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "CACHE", tmp_path)
    current, used, recent, old = (
        recipe.path("trixie"),
        tmp_path / "trixie-1",
        tmp_path / "trixie-2",
        tmp_path / "trixie-3",
    )
    for path in (current, used, recent, old):
        path.mkdir()
    for path in (current, used, old):
        os.utime(path, (0, 0))
    root.tidy({"trixie-1"})
    assert sorted(tmp_path.iterdir()) == sorted([current, used, recent])


def test_two_labs_at_once_do_not_meet(tmp_path: Path) -> None:
    labs = [NspawnDriver(Place(tmp_path / name, "lab")) for name in ("left", "right")]
    try:
        with ThreadPoolExecutor() as pool:
            left, right = pool.map(lambda lab: lab.up(Wish(count=2), _quiet), labs)
        assert left.uid != right.uid
        _ask(left, "n1", "touch /root/left")
        assert _ask(right, "n1", "ls /root") == ""
        labs[0].down(_quiet)
        assert _traces(labs[0]) == []
        assert [_ask(right, node.name, "hostname") for node in right.nodes] == ["n1", "n2"]
        assert labs[1].status() == right
    finally:
        for lab in labs:
            lab.down(_quiet)


def test_a_second_change_says_who_is_at_the_first(driver: NspawnDriver) -> None:
    with lock.alone(driver.names, driver.lab):
        for change in (lambda: driver.up(Wish(), _quiet), lambda: driver.down(_quiet)):
            with pytest.raises(
                DriverError, match=f"lab 'lab' is being changed by another harness, process {os.getpid()}"
            ):
                change()


def test_nodes_do_not_share_their_services(driver: NspawnDriver) -> None:
    """With one control group for all, the systemd of one node would see and end the other's processes."""
    cluster = driver.up(Wish(count=2), _quiet)
    for node in ("n1", "n2"):
        _ask(cluster, node, "systemd-run --quiet --unit=same sleep 600")
    members = "cat /sys/fs/cgroup/system.slice/same.service/cgroup.procs"
    members += " /sys/fs/cgroup/systemd/system.slice/same.service/cgroup.procs 2>/dev/null | wc -l"
    assert [_ask(cluster, node, members) for node in ("n1", "n2")] == ["1", "1"]
    _ask(cluster, "n1", "systemctl kill --signal=KILL --kill-whom=all same")
    assert _ask(cluster, "n2", "systemctl is-active same") == "active"


def test_a_reboot_comes_back_with_its_disk_and_a_new_network(driver: NspawnDriver) -> None:
    cluster = driver.up(Wish(count=2), _quiet)
    began = _began(cluster, "n1")
    _ask(cluster, "n2", "ping -c 1 -W 2 192.168.56.11")  # so that n2 remembers where n1 was
    _ask(cluster, "n1", "touch /root/kept && nft add table ip lost && ip route add 10.9.0.0/24 via 192.168.56.12")
    _ssh(cluster, "n1", "systemctl reboot")

    def back() -> None:
        done = _ssh(cluster, "n1", "cut -d ' ' -f 22 /proc/1/stat")
        if not done.ok or done.out.strip() == began:
            raise clock.NotYet(done.last_words())

    clock.until(back, what="n1 to boot again", within=20)
    found = _ask(cluster, "n1", "ls /root; nft list ruleset; ip -4 route").splitlines()
    assert [line.strip() for line in found] == [
        "kept",
        "192.168.56.0/24 dev eth0 proto kernel scope link src 192.168.56.11",
        "198.18.0.0/15 via 192.168.56.1 dev eth0",
    ]
    assert " 0% packet loss" in _ask(cluster, "n2", "ping -c 1 -W 2 192.168.56.11"), "neighbours must not be misled"
    assert driver.status() == cluster


def _power_off(driver: NspawnDriver, cluster: Cluster) -> None:
    _ssh(cluster, "n2", "systemctl poweroff --force")

    def off() -> None:
        if machine.runs(driver.names, "n2"):
            raise clock.NotYet("it runs")

    clock.until(off, what="n2 to be off", within=10)


def _kill_nspawn(driver: NspawnDriver, _cluster: Cluster) -> None:
    """The worst of kills: systemd-nspawn dies, and what it contained lives on."""
    mark = f"--machine={driver.names.machine('n2')}".encode()
    (pid,) = [pid for pid, words in machine.process_table() if mark in words]
    os.kill(pid, signal.SIGKILL)

    def off() -> None:
        if machine.runs(driver.names, "n2"):
            raise clock.NotYet("its supervisor runs")

    clock.until(off, what="n2 to be off", within=10)


def _lose_namespace(driver: NspawnDriver, _cluster: Cluster) -> None:
    process.check(["ip", "netns", "delete", driver.names.machine("n2")], what="deleting a namespace")


def _lose_cable(driver: NspawnDriver, _cluster: Cluster) -> None:
    process.check(["ip", "-n", driver.names.fabric, "link", "delete", "v-n2"], what="deleting a cable")


@pytest.mark.parametrize("harm", [_power_off, _kill_nspawn, _lose_namespace, _lose_cable],
                         ids=lambda harm: harm.__name__.strip("_"))  # fmt: skip
def test_a_lab_that_lost_a_node_is_healed(driver: NspawnDriver, harm: Callable[[NspawnDriver, Cluster], None]) -> None:
    cluster = driver.up(Wish(count=2), _quiet)
    began = _began(cluster, "n1")
    _ask(cluster, "n2", "touch /root/kept")
    harm(driver, cluster)
    assert driver.status() is None
    healed = driver.up(Wish(count=2), _quiet)
    assert healed == cluster
    assert _began(healed, "n1") == began, "the other node must not be touched"
    assert _ask(healed, "n2", "hostname; ls /root") == "n2\nkept", "it must have its disk again"
    driver.down(_quiet)
    assert _traces(driver) == []


def test_a_lab_that_lost_its_fabric_is_healed(driver: NspawnDriver) -> None:
    cluster = driver.up(Wish(count=2), _quiet)
    process.check(["ip", "netns", "delete", driver.names.fabric], what="deleting the fabric")
    assert driver.status() is None
    healed = driver.up(Wish(count=2), _quiet)
    assert [_ask(healed, node.name, "hostname") for node in cluster.nodes] == ["n1", "n2"]


def test_nodes_that_do_not_answer_are_named_with_their_last_words(
    driver: NspawnDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.up(Wish(count=2), _quiet)
    cluster = driver.status()
    assert cluster is not None
    _ssh(cluster, "n2", "echo out of order > /dev/console; systemctl mask --now ssh; pkill sshd")
    monkeypatch.setattr("harness.drivers.nspawn.driver._BOOT_SECONDS", 0.3)
    with pytest.raises(DriverError, match=r"(?s)no SSH within 0.3 s on:\n  n2: .*out of order"):
        driver.up(Wish(count=2), _quiet)


@pytest.mark.long
def test_releases_are_taken_in_turn(driver: NspawnDriver) -> None:
    cluster = driver.up(Wish(count=3, releases=("bookworm", "trixie")), _quiet)
    assert [node.release for node in cluster.nodes] == ["bookworm", "trixie", "bookworm"]
    asked = [_ask(cluster, node.name, ". /etc/os-release && echo $VERSION_CODENAME") for node in cluster.nodes]
    assert asked == ["bookworm", "trixie", "bookworm"]
    began = _began(cluster, "n1")
    other = driver.up(Wish(count=3), _quiet)
    assert _ask(other, "n2", ". /etc/os-release && echo $VERSION_CODENAME") == "bookworm"
    assert _began(other, "n1") == began


@pytest.mark.long
def test_fifty_nodes_see_each_other(driver: NspawnDriver) -> None:
    """50 × 50 neighbours are more than the kernel's table holds for the whole machine."""
    began = _began(driver.up(Wish(count=1), _quiet), "n1")
    cluster = driver.up(Wish(count=50), _quiet)
    assert _began(cluster, "n1") == began, "n1 must have been told of the others while it ran"
    addresses = " ".join(node.address for node in cluster.nodes)
    sweep = f"for a in {addresses}; do ping -q -c 1 -W 2 $a >/dev/null || echo $a; done"
    with ThreadPoolExecutor(max_workers=16) as pool:
        lost = list(pool.map(lambda node: _ask(cluster, node.name, sweep), cluster.nodes))
    assert lost == [""] * 50
    few = driver.up(Wish(count=2), _quiet)
    assert _ask(few, "n1", "ip neighbour show nud permanent") == ""
