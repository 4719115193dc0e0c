"""What goes wrong on somebody's machines: the machine is named, the others go on, and a second run mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.foreign import WEB_APP, Foreign
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

ARCHIVE = (Path(__file__).parent / "archive.sh").read_text()
FULL = "mount -t tmpfs -o size=64k none /usr/local/lib/nodeport; dd if=/dev/zero of=/usr/local/lib/nodeport/x || true"
LOCKED = (
    "import fcntl, time; locks = [open(f'/var/lib/{name}', 'w') for name in ('dpkg/lock-frontend', 'apt/lists/lock')]; "
    "[fcntl.lockf(lock, fcntl.LOCK_EX) for lock in locks]; open('/run/locked', 'w'); time.sleep(600)"
)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with with_nodes(tmp_path_factory.mktemp("bad")) as lab:
        yield Foreign(lab.cluster(), tmp_path_factory.mktemp("user"))


@pytest.fixture(scope="module")
def healthy(foreign: Foreign) -> Path:
    """The inventory with nothing wrong; the machines run our work."""
    source = foreign.inventory()
    done = foreign.harness("run", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err
    return source


def mended(foreign: Foreign) -> None:
    """The machines run what they shall, with nothing of ours in between."""
    done = foreign.harness("apply", "-f", WEB_APP, inventory=foreign.inventory())
    assert done.code == 0, done.out + done.err


def test_a_machine_that_cannot_be_reached_is_named_and_the_others_are_proven(foreign: Foreign, healthy: Path) -> None:
    source = foreign.inventory({"c": {"ansible_host": "192.168.56.99"}})
    done = foreign.harness("run", "-f", WEB_APP, "--json", inventory=source)
    assert done.code == 4, done.err
    assert "c cannot be used: " in done.err
    found = json.loads(done.out)
    broken = {(verdict["check"], verdict["node"]) for verdict in found["verdicts"] if verdict["status"] == "ERROR"}
    assert broken == {("rig", "c")}
    assert {verdict["status"] for verdict in found["verdicts"]} == {"PASS", "ERROR"}
    assert all(foreign.on(name, "ip netns list").count("pod-") for name in "ab")
    (rig,) = (verdict for verdict in found["verdicts"] if verdict["check"] == "rig")
    assert "of the 1 pod of c, others take over default/web-app-" in rig["summary"]
    assert "; on c they may run on" in rig["summary"], "no pod is moved without a word"
    assert rig["summary"].partition("; of the ")[2] in " ".join(done.err.split())
    told = foreign.harness("apply", "-f", WEB_APP, inventory=source)
    assert told.code == 4
    assert "\n  c: " in told.err
    assert "  a: " not in told.err
    mended(foreign)


@pytest.mark.long
def test_a_machine_without_python_is_named(foreign: Foreign, healthy: Path) -> None:
    try:
        foreign.on("b", "mv /usr/bin/python3 /usr/bin/python3.away")
        done = foreign.harness("apply", "-f", WEB_APP, inventory=healthy)
    finally:
        foreign.on("b", "mv /usr/bin/python3.away /usr/bin/python3")
    assert done.code == 4
    assert "b: python3 is not installed there; on it: apt-get install python3" in done.err
    mended(foreign)


def failing(foreign: Foreign, inventory: Path) -> str:
    """What `apply` says when machine b is not well, on one line; the others are not named."""
    done = foreign.harness("apply", "-f", WEB_APP, inventory=inventory)
    assert done.code == 4, done.out + done.err
    said = " ".join(done.err.split())
    assert " a: " not in said.partition("failed on")[2]
    assert "Traceback" not in said
    return said


@pytest.mark.long
def test_a_read_only_etc_is_told_before_anything_is_changed(foreign: Foreign, healthy: Path) -> None:
    foreign.on("b", "mount --bind /etc /etc; mount -o remount,bind,ro /etc")
    try:
        said = failing(foreign, healthy)
    finally:
        foreign.on("b", "umount /etc")
    assert "b: Nothing is in the way: failed: /etc cannot be written: mount it read-write" in said
    mended(foreign)


@pytest.mark.long
def test_a_disk_that_is_full_is_told_and_leaves_nothing_half(foreign: Foreign, healthy: Path) -> None:
    before = foreign.on("b", "ls -A /usr/local/lib/nodeport; echo old > /usr/local/lib/nodeport/podctl")
    foreign.on("b", FULL)
    try:
        said = failing(foreign, healthy)
        left = foreign.on("b", "ls -A /usr/local/lib/nodeport")
    finally:
        foreign.on("b", "umount /usr/local/lib/nodeport")
    assert "No space left on device" in said
    assert "b: " in said
    assert ".new" not in left
    mended(foreign)
    assert foreign.on("b", "ls -A /usr/local/lib/nodeport") == before


def test_a_locked_apt_is_waited_for_and_then_told(foreign: Foreign, healthy: Path) -> None:
    foreign.on("b", ARCHIVE + "mkdir -p /var/lib/apt/lists", timeout=60)
    foreign.on("b", f'systemd-run --quiet --unit=locker python3 -c "{LOCKED}"; until [ -e /run/locked ]; do :; done')
    try:
        said = failing(foreign, foreign.inventory(node_base_lock_timeout=1))
    finally:
        foreign.on("b", "systemctl stop locker")
    assert "packages that nodePorts need cannot be installed" in said
    assert "Could not get lock" in said
    assert "install conntrack" in said
    mended(foreign)


@pytest.mark.long
def test_a_renamed_machine_is_another_node_and_runs_all_it_shall(foreign: Foreign, healthy: Path) -> None:
    address = foreign.machines.nodes[2].address
    known = foreign.inventory({"c": {"ansible_host": address}, "new-name": {"ansible_host": address}})
    twice = foreign.harness("run", "-f", WEB_APP, inventory=known)
    assert twice.code == 2
    assert f"new-name: {address} is the address of c too" in twice.err
    known.write_text(foreign.inventory().read_text().replace("    c:", "    new-name:"))
    done = foreign.harness("run", "-f", WEB_APP, inventory=known)
    assert done.code == 0, done.out + done.err
    assert '"node": "new-name"' in foreign.on("c", "cat /etc/nodeport/state.json")
    mended(foreign)


def test_host_keys_are_learnt_when_asked_for_and_then_checked(foreign: Foreign, healthy: Path, tmp_path: Path) -> None:
    learnt = tmp_path / "known_hosts"
    way_in = f"-o UserKnownHostsFile={learnt} -F {foreign.machines.ssh_config}"
    source = foreign.inventory(ansible_ssh_common_args=way_in)
    strange = foreign.harness("up", inventory=source)
    assert strange.code == 4
    assert all(
        f"{name}: Host key verification failed; if it is new to you: --accept-new" in strange.err for name in "abc"
    )
    met = foreign.harness("up", "--accept-new", inventory=source)
    assert met.code == 0, met.err
    known = learnt.read_text()
    assert foreign.harness("apply", "-f", WEB_APP, inventory=source).code == 0
    first, *others = known.splitlines(keepends=True)
    learnt.write_text(" ".join([*first.split()[:2], others[-1].split()[2]]) + "\n" + "".join(others))
    changed = foreign.harness("up", "--accept-new", inventory=source)
    assert changed.code == 4, "a key that changed is never taken"
