"""The parts of the nspawn driver that only work things out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import yaml

from harness import drivers
from harness.drivers import Place, Wish
from harness.drivers.nspawn import NspawnDriver, fabric, machine, names, recipe, ssh
from harness.errors import UsageError

HOME = Path("/srv/my labs/100%/a")


def test_names_differ_between_homes_and_between_labs() -> None:
    made = {names.Names.of(Path(home), lab).id for home in ("/a", "/b", "/a/b") for lab in ("demo", "b/demo")}
    assert len(made) == 6
    assert names.Names.of(Path("/a/../a"), "demo") == names.Names.of(Path("/a"), "demo")


def test_everything_has_a_name_that_linux_takes() -> None:
    lab = names.Names.of(HOME, "demo")
    nodes = [names.node_name(number) for number in range(1, names.MOST_NODES + 1)]
    addresses = [names.node_address(number) for number in range(1, names.MOST_NODES + 1)]
    assert addresses[0] == "192.168.56.11"
    assert addresses[-1] == "192.168.56.210"
    assert max(len(fabric.port(node)) for node in nodes) <= 15, "IFNAMSIZ"
    assert max(len(lab.machine(node)) for node in nodes) <= 64, "HOST_NAME_MAX"
    # ssh adds a dot and 16 characters while it makes the socket; unix(7) allows 107
    assert max(len(f"{lab.sockets}/root@{address}") for address in addresses) + 17 <= 107


def test_hardware_addresses_are_unicast_local_and_unique() -> None:
    labs = [names.Names.of(Path("/a"), lab) for lab in ("left", "right")]
    macs = [lab.mac(names.node_address(number)) for lab in labs for number in range(1, names.MOST_NODES + 1)]
    assert len(set(macs)) == len(macs)
    assert {int(mac.split(":")[0], 16) & 0b11 for mac in macs} == {0b10}


@pytest.mark.parametrize(
    ("ingredient", "other"),
    [("PACKAGES", ("systemd",)), ("MASKED", ()), ("FILES", {}), ("LEFT_OUT", ()), ("_VERSION", 0)],
)
def test_any_change_of_the_recipe_makes_another_root(
    ingredient: str, other: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recipe.path("bookworm")
    monkeypatch.setattr(recipe, ingredient, other)
    assert recipe.path("bookworm") != before


def test_a_file_of_one_release_leaves_the_root_of_the_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {release: recipe.path(release) for release in recipe.RELEASES}
    monkeypatch.setattr(recipe, "FILES_OF", {})
    assert [release for release in recipe.RELEASES if recipe.path(release) != before[release]] == ["trixie"]


def test_planned_takes_the_releases_in_turn() -> None:
    planned = NspawnDriver(Place(HOME, "demo")).planned(Wish(count=3, releases=("bookworm", "trixie")))
    assert [(node.name, node.address, node.release) for node in planned.nodes] == [
        ("n1", "192.168.56.11", "bookworm"),
        ("n2", "192.168.56.12", "trixie"),
        ("n3", "192.168.56.13", "bookworm"),
    ]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(count=0), "0 nodes cannot be (1 to 200)"),
        (Wish(count=201), "201 nodes cannot be (1 to 200)"),
        (Wish(releases=("sid", "trixie")), "there is no node root for sid (known releases: bookworm, trixie)"),
        (Wish(subnets=3), "3 networks cannot be (1 to 2)"),
        (Wish(releases=()), "there is no node root for no release (known releases: bookworm, trixie)"),
    ],
)
def test_a_wish_that_cannot_be_is_told_so(wish: Wish, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        NspawnDriver(Place(HOME, "demo")).planned(wish)
    assert str(caught.value) == words


def test_an_inventory_holds_literal_values() -> None:
    driver = NspawnDriver(Place(HOME, "demo"))
    text = ssh.inventory(driver.planned(Wish(count=2, releases=("trixie",))))
    inventory = yaml.safe_load(text)
    assert inventory["all"]["children"]["nodes"]["hosts"]["n2"] == {
        "ansible_host": "192.168.56.12",
        "ansible_user": "root",
        "nodeport_address": "192.168.56.12",
        "harness_release": "trixie",
    }
    variables = inventory["all"]["vars"]
    assert shlex.split(variables["ansible_ssh_common_args"]) == ["-F", "/srv/my labs/100%/a/ssh_config"]
    assert variables["ansible_python_interpreter"] == "/usr/bin/python3"
    assert variables["harness_client_netns"] == f"/run/netns/nph-{driver.names.id}-fabric"
    assert (variables["harness_driver"], variables["harness_lab"], variables["harness_lab_uid"]) == (
        "nspawn", "demo", "planned",
    )  # fmt: skip
    assert "{{" not in text


def test_ssh_config_quotes_what_openssh_would_take_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my venv/50%/python")
    driver = NspawnDriver(Place(HOME, "demo"))
    config = ssh.config(driver.names, driver.planned(Wish(count=1)))
    (proxy,) = [line for line in config.splitlines() if "ProxyCommand" in line]
    words = shlex.split(proxy)
    assert words[3:6] == ["/opt/my venv/50%%/python", "-SE", words[5]]
    assert words[5].endswith("/fdpass.py")
    assert words[6:] == ["%h", "%p"]


def test_the_console_is_told_without_its_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "LABS", tmp_path)
    lab = names.Names("abcdef")
    (lab.folder / "n1").mkdir(parents=True)
    (lab.folder / "n1/console.log").write_text("one\n[\x1b[0;32m  OK  \x1b[0m] Started ssh\r\n\n")
    assert machine.console_tail(lab, "n1", lines=1) == "[  OK  ] Started ssh"
    assert machine.console_tail(lab, "n2") == ""


def test_every_registered_driver_can_be_had() -> None:
    for name in drivers.DRIVERS:
        made = drivers.get(name, Place(HOME, "demo"))
        assert all(callable(getattr(made, promise)) for promise in ("doctor", "planned", "status", "up", "down"))
    with pytest.raises(UsageError, match="there is no driver 'vmware'"):
        drivers.get("vmware", Place(HOME, "demo"))


def test_nodes_may_be_on_two_networks_and_then_know_the_way_between_them() -> None:
    driver = NspawnDriver(Place(HOME, "demo"))
    nodes = driver.planned(Wish(count=3, subnets=2)).nodes
    assert [node.address for node in nodes] == ["192.168.56.11", "192.168.57.12", "192.168.56.13"]
    assert fabric.is_routed(nodes)
    assert "route replace 192.168.56.0/23 via GATEWAY" in fabric.neighbours(driver.names, nodes).splitlines()
    assert not fabric.is_routed(driver.planned(Wish(count=3)).nodes)
    assert len({driver.names.mac(node.address) for node in nodes}) == 3


@pytest.mark.parametrize(("count", "told"), [(3, 0), (22, 0), (23, 23), (200, 200)])
def test_neighbours_are_told_only_when_they_are_too_many_to_be_learnt(count: int, told: int) -> None:
    driver = NspawnDriver(Place(HOME, "demo"))
    first, *rest = fabric.neighbours(driver.names, driver.planned(Wish(count=count)).nodes).splitlines()
    assert first == "neighbour flush dev eth0 nud permanent"
    assert len(rest) == told
    mac = driver.names.mac("192.168.56.11")
    assert rest[:1] == [f"neighbour replace 192.168.56.11 lladdr {mac} dev eth0 nud permanent"][:told]
