"""The driver vagrant without machines: what it reads, and what it makes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from harness.drivers.vagrant import box_recipe, settings, ssh
from harness.errors import DriverError, UsageError
from harness.model.cluster import Cluster, Node
from harness.support import clock, process

IDENTITY = "5f3c0d7e-0000-4000-8000-00000000abcd"
GOOD = {"name": "n1", "address": "192.168.56.11", "memory": 512, "cpus": 1, "box": "nodeport/trixie"}

SAID = """Host n1
  HostName 192.168.121.166
  User root
  Port 22
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile /home/me/some folder/private_key
  ProxyCommand nsenter --net=/run/netns/nodeport-vms socat - TCP:%h:%p

Host n2
  HostName 127.0.0.1
  User vagrant
  Port 2200
  IdentityFile /home/me/n2/private_key
"""


def _written(folder: Path, *machines: object) -> Path:
    path = folder / settings.FILE
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({"nodes": list(machines)}))
    return folder


def test_the_file_we_ship_is_read() -> None:
    machines = settings.read(Path(__file__).parents[3])
    assert [machine.release for machine in machines] == ["bookworm"] * 3


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "n1; reboot", "no host name"),
        ("address", "10.0.0.1", "not within"),
        ("address", "192.168.56.1", "not within"),
        ("memory", 128, "at least 256"),
        ("cpus", True, "at least 1"),
        ("box", "../etc/passwd", "no name of a box"),
        ("address6", "fd00:192:168:56::1", "not within"),
        ("address6", "fd00:192:168:57::11", "not within"),
        ("address6", "192.168.56.11", "not within"),
    ],
)
def test_a_fault_is_named_with_its_field(tmp_path: Path, field: str, value: object, said: str) -> None:
    folder = _written(tmp_path, GOOD, {**GOOD, field: value})
    with pytest.raises(UsageError, match=rf"nodes\[1\]\.{field} .*{said}"):
        settings.read(folder)


def test_all_machines_have_ipv6_addresses_or_none(tmp_path: Path) -> None:
    first = {**GOOD, "address6": "fd00:192:168:56::11"}
    second = {**GOOD, "name": "n2", "address": "192.168.56.12"}
    with pytest.raises(UsageError, match="some machines have an address6 and some have none"):
        settings.read(_written(tmp_path / "one", first, second))
    with pytest.raises(UsageError, match="address6 fd00:192:168:56::11 is there twice"):
        settings.read(_written(tmp_path / "twice", first, {**second, "address6": first["address6"]}))
    both = settings.read(_written(tmp_path / "both", first, {**second, "address6": "fd00:192:168:56::12"}))
    assert [machine.address6 for machine in both] == ["fd00:192:168:56::11", "fd00:192:168:56::12"]


def test_two_machines_do_not_share_name_or_address(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name n1 is there twice; address 192.168.56.11 is there twice"):
        settings.read(_written(tmp_path, GOOD, GOOD))


def test_a_folder_without_the_file_says_which_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*nodes\.yml"):
        settings.read(tmp_path)


def test_machines_made_by_hand_are_found_by_their_ids(tmp_path: Path) -> None:
    made = tmp_path / ".vagrant/machines/n1/libvirt"
    made.mkdir(parents=True)
    assert not settings.running(tmp_path)
    (tmp_path / "Vagrantfile").touch()
    assert not settings.running(tmp_path)
    (made / "id").write_text(f"{IDENTITY}\n")
    assert settings.created(tmp_path) == {"n1": IDENTITY}
    assert not settings.running(tmp_path), "made, but halted"
    with process.start([sys.executable, "-c", "input()", "-uuid", IDENTITY], stdin=process.PIPE) as machine:
        try:
            clock.until(lambda: _is_there(tmp_path), what="the machine's process", within=10)
        finally:
            process.end_group(machine)
    assert not settings.running(tmp_path)


def _is_there(folder: Path) -> None:
    if not settings.running(folder):
        raise clock.NotYet("no process has its id")


def test_what_vagrant_says_becomes_two_files(tmp_path: Path) -> None:
    cluster = Cluster(
        "lab", "u1", "vagrant", (Node("n1", "192.168.56.11"), Node("n2", "192.168.56.12")),
        tmp_path / "inventory.yml", tmp_path / "ssh_config",
    )  # fmt: skip
    hosts = ssh.parse(SAID, ["n1", "n2"])
    text = ssh.config(cluster, hosts)
    assert "Host n1 192.168.56.11\n  HostName 192.168.121.166\n" in text
    assert "  ProxyCommand nsenter --net=/run/netns/nodeport-vms socat - TCP:%h:%p\n" in text
    assert "IdentityFile /home/me/some folder/private_key" in text
    nodes = yaml.safe_load(ssh.inventory(cluster, hosts))["all"]["children"]["nodes"]["hosts"]
    assert {name: host["ansible_become"] for name, host in nodes.items()} == {"n1": False, "n2": True}


def test_the_boot_settings_of_the_box_agree() -> None:
    assert "root=LABEL=root" in box_recipe.FILES["extlinux.conf"]
    assert box_recipe.FILES["etc/fstab"].startswith("LABEL=root / ext4")
    assert box_recipe.MAKE_FILE_SYSTEM[box_recipe.MAKE_FILE_SYSTEM.index("-L") + 1] == "root"


@pytest.mark.parametrize("shapes", ["DISK_GB", "MAKE_FILE_SYSTEM", "MAKE_BOOTABLE", "PACK", "MASKED", "PACKAGES"])
def test_whatever_shapes_the_box_makes_another_one(shapes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = box_recipe.path("bookworm", "libvirt")
    assert before != box_recipe.path("trixie", "libvirt")
    assert before != box_recipe.path("bookworm", "virtualbox")
    monkeypatch.setattr(box_recipe, shapes, "another")
    assert box_recipe.path("bookworm", "libvirt") != before


def test_a_machine_that_vagrant_does_not_describe_is_named() -> None:
    with pytest.raises(DriverError, match="how to reach n3"):
        ssh.parse(SAID, ["n1", "n3"])
