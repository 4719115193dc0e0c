"""Inventories of users: whatever Ansible and OpenSSH understand, in every form; and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.drivers import Place, Wish
from harness.drivers.static import StaticDriver, inventory
from harness.drivers.static.driver import _digest, lasting
from harness.errors import DriverError, UsageError
from harness.support import process

INI = """
[web]
alpha ansible_host=10.1.0.11 ansible_port=2222
beta ansible_host='{{ prefix }}.12'

[nodes:children]
web

[web:vars]
prefix=10.1.0
ansible_user=ops
ansible_ssh_common_args=-o ProxyJump=gate.example
"""
YAML = """
all:
  hosts:
    stranger: {ansible_host: 10.9.9.9}
  children:
    nodes:
      vars: {ansible_become: true, ansible_become_password: "{{ 'sec' ~ 'ret' }}"}
      hosts:
        alpha: {ansible_host: a.example, nodeport_address: 10.1.0.11}
"""


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_ini_with_templates_ports_users_and_a_jump_host(tmp_path: Path) -> None:
    alpha, beta = inventory.read(written(tmp_path, "hosts", INI))
    assert (alpha.name, alpha.address, beta.address) == ("alpha", "10.1.0.11", "10.1.0.12")
    ssh = dict(alpha.ssh)
    assert (ssh["hostname"], ssh["port"], ssh["user"]) == ("10.1.0.11", "2222", "ops")
    assert ssh["proxycommand"] == "ssh -o BatchMode=yes -W %h:%p gate.example"
    assert ssh["stricthostkeychecking"] == "yes", "a host key is checked unless the user says otherwise"


def test_only_the_group_nodes_where_there_is_one(tmp_path: Path) -> None:
    (alpha,) = inventory.read(written(tmp_path, "hosts.yml", YAML))
    assert (alpha.name, alpha.address) == ("alpha", "10.1.0.11")
    assert alpha.variables["ansible_become_password"] == "secret"  # noqa: S105 - of this test alone
    assert alpha.become_password == "secret"  # noqa: S105 - of this test alone
    assert "secret" not in str(alpha)
    assert alpha.by_sudo
    other = YAML.replace("ansible_become: true", "ansible_become_method: su")
    assert not inventory.read(written(tmp_path, "su.yml", other))[0].by_sudo, "its password is not sudo's to judge"


def test_secrets_are_for_the_owner_alone(tmp_path: Path) -> None:
    source = written(tmp_path, "hosts.yml", YAML.replace("a.example", "127.0.0.1:1"))
    driver = StaticDriver(Place(tmp_path / ".harness" / "lab", "lab", source))
    cluster = driver.planned(Wish(1))
    with pytest.raises(DriverError, match="that cannot be used"):
        driver.up(Wish(1), lambda _text: None)
    assert cluster.inventory.stat().st_mode & 0o777 == 0o600
    assert "secret" in cluster.inventory.read_text()
    assert "secret" not in cluster.ssh_config.read_text()
    assert driver.status() is None, "machines that do not answer are no lab"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("hosts", "[nodes]\n", "there is no host in it"),
        ("hosts", "", "there is no host in it"),
        ("hosts", "[nodess]\na ansible_host=10.0.0.1\n", "no group `nodes`, but nodess"),
        ("hosts", "[nodes:children]\nwbe\n[web]\na\n", "Ansible cannot read it: (?s:.*)undefined group 'wbe'"),
        ("hosts.yml", "nodes: {children: {wbe: }}\nweb: {hosts: {a: }}", "none in its group `nodes`"),
        ("hosts", "[web\nfoo", "Ansible cannot read it"),
        ("hosts.yml", "nodes: {hosts: {a: {ansible_host: '{{ nowhere }}'}}}", "Ansible cannot read it: .*nowhere"),
        ("hosts", "a ansible_host=10.0.0.1 ansible_connection=local", "a: ansible_connection is local"),
        ("hosts", "a ansible_host=10.0.0.1 ansible_password=x", "a: it asks for an SSH password"),
        ("hosts", "a ansible_host=a.example", "a: which IPv4 address serves its nodePorts"),
        ("hosts", "a ansible_host=10.0.0.1 nodeport_client_range=198.18.0.7/15", "a: nodeport_client_range is"),
        ("hosts", "a ansible_host=10.0.0.1 nodeport_client_range6=10.0.0.0/8", "a: nodeport_client_range6 is"),
        ("hosts", "a ansible_host=10.0.0.1\nb ansible_host=10.0.0.1", "b: 10.0.0.1 is the address of a too"),
        ("hosts", "a ansible_host=10.0.0.1 ansible_ssh_common_args='-o Nonsense=1'", "a: ssh does not understand"),
        (
            "hosts",
            "a ansible_host=10.0.0.1\nb ansible_host=10.0.0.1 nodeport_address=10.0.0.2",
            "b: ssh goes to 10.0.0.1",
        ),
        ("hosts", "a ansible_host=10.0.0.1 nodeport_address=0.0.0.0", "a: which IPv4 address .*'0.0.0.0' is none"),
        ("hosts", "a ansible_host=10.0.0.1 nodeport_address=224.0.0.1", "a: which IPv4 address"),
        ("hosts", "a ansible_host=10.0.0.1 nodeport_client_address=me", "a: nodeport_client_address is 'me', no IPv4"),
        (
            "hosts",
            "a ansible_host=10.0.0.1 nodeport_client_address6=10.0.0.1",
            "client_address6 is .*, no IPv6 address",
        ),
        ("hosts", "a ansible_host=10.0.0.1 nodeport_client_netns=mine", "a: nodeport_client_netns is 'mine', no path"),
        (
            "hosts.yml",
            'all: {hosts: {a: {ansible_host: 10.0.0.1, ansible_private_key_file: "/x\\nProxyCommand true"}}}',
            "a: identityfile has signs that cannot be in a file of ssh",
        ),
        ("hosts", "a ansible_host=fd00::1", "a: which IPv4 address serves its nodePorts"),
        ("hosts", "a[1:3]", "(?s:.*)a3: which IPv4 address serves its nodePorts"),
        ("hosts.yml", "all: {hosts: {'a b': {ansible_host: 10.0.0.1}}}", "'a b' cannot be a machine's name"),
        ("hosts.yml", "all: {hosts: {'-oProxyCommand=x': {}}}", "'-oProxyCommand=x' cannot be a machine's name"),
        ("hosts.yml", "all: {hosts: {'a*': {ansible_host: 10.0.0.1}}}", "cannot be a machine's name"),
        ("hosts", "\0\1\2", "cannot be a machine's name"),
        ("hosts.yml", "all: {hosts: {a: {ansible_host: '{{ gone }}'}}}", "a: ansible_host: .*gone"),
    ],
)
def test_faults_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        inventory.read(written(tmp_path, name, text))


def test_faults_are_told_all_at_once(tmp_path: Path) -> None:
    text = "a ansible_connection=local ansible_host=10.0.0.1\nb ansible_host=b.example\n"
    with pytest.raises(UsageError) as refused:
        inventory.read(written(tmp_path, "hosts", text))
    assert len(refused.value.message.splitlines()) == 3


def test_a_fault_of_ssh_is_not_told_as_one_of_addresses(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        inventory.read(written(tmp_path, "hosts", "a ansible_host=10.0.0.1 ansible_port=abc\n"))
    assert "ssh does not understand its options: Bad port 'abc'" in refused.value.message
    assert "which IPv4" not in refused.value.message


ODD = """
[nodes:children]
racks
[racks:children]
left
right
[left]
n[1:2] ansible_port=2222
[right]
gate-[a:b]
[racks:vars]
ansible_host=10.1.0.{{ 10 + groups['nodes'].index(inventory_hostname) }}
"""


def test_ranges_and_groups_of_groups(tmp_path: Path) -> None:
    found = inventory.read(written(tmp_path, "hosts", ODD))
    assert [(each.name, each.address, dict(each.ssh)["port"]) for each in found] == [
        ("n1", "10.1.0.10", "2222"), ("n2", "10.1.0.11", "2222"),
        ("gate-a", "10.1.0.12", "22"), ("gate-b", "10.1.0.13", "22"),
    ]  # fmt: skip


def test_ssh_over_ipv6_with_an_address_for_nodeports(tmp_path: Path) -> None:
    (found,) = inventory.read(written(tmp_path, "hosts", "a ansible_host=fd00::1 nodeport_address=10.0.0.1\n"))
    assert (found.address, dict(found.ssh)["hostname"]) == ("10.0.0.1", "fd00::1")


def test_a_gate_that_is_not_there_is_the_reason_that_is_told(tmp_path: Path) -> None:
    text = "a ansible_host=10.0.0.1 ansible_ssh_common_args='-J nowhere.invalid'\n"
    driver = StaticDriver(Place(tmp_path / ".harness" / "lab", "lab", written(tmp_path, "hosts", text)))
    with pytest.raises(DriverError, match=r"a: .*nowhere\.invalid.*; "):
        driver.up(Wish(1), lambda _text: None)


def test_doctor_reads_the_inventory(tmp_path: Path) -> None:
    place = Place(tmp_path / ".harness" / "lab", "lab", written(tmp_path, "hosts", INI))
    assert [(check.name, check.ok) for check in StaticDriver(place).doctor()] == [("ssh", True), ("inventory", True)]
    wrong = Place(tmp_path / ".harness" / "lab", "lab", written(tmp_path, "other", "[nodess]\na\n"))
    check = StaticDriver(wrong).doctor()[1]
    assert (check.ok, "no group `nodes`, but nodess" in check.found) == (False, True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("-o ProxyJump=gate", "setsid ssh -o BatchMode=yes -W %h:%p gate"),
        ('-o ProxyCommand="nc %h %p"', "setsid nc %h %p"),
        ('-o ProxyUseFdpass=yes -o ProxyCommand="connect %h %p"', "connect %h %p"),
    ],
)
def test_a_command_that_connects_lives_as_long_as_the_connection(tmp_path: Path, words: str, line: str) -> None:
    source = written(tmp_path, "hosts", f"a ansible_host=10.0.0.1 ansible_ssh_common_args='{words}'\n")
    (machine,) = inventory.read(source)
    assert dict(lasting(machine.ssh))["proxycommand"] == line


def test_the_number_of_nodes_is_the_inventory_s(tmp_path: Path) -> None:
    driver = StaticDriver(Place(tmp_path / ".harness" / "lab", "lab", written(tmp_path, "hosts", INI)))
    assert driver.usual() == Wish(count=2)
    with pytest.raises(UsageError, match=r"3 nodes are asked for, but .* has 2"):
        driver.planned(Wish(count=3))


def test_without_an_inventory_there_is_nothing(tmp_path: Path) -> None:
    driver = StaticDriver(Place(tmp_path / ".harness" / "lab", "lab"))
    assert driver.status() is None
    with pytest.raises(UsageError, match="needs an inventory"):
        driver.usual()


def test_a_changed_password_is_another_inventory(tmp_path: Path) -> None:
    source = written(tmp_path, "hosts.yml", YAML)
    (before,) = inventory.read(source)
    (after,) = inventory.read(written(tmp_path, "hosts.yml", YAML.replace("sec", "SEC")))
    assert _digest((before,)) != _digest((after,))


def test_a_password_that_looks_like_a_template_is_kept_as_it_is(tmp_path: Path) -> None:
    known = (
        "all: {hosts: {a: {ansible_host: 127.0.0.1, ansible_port: 1, nodeport_address: 10.0.0.1, "
        "ansible_become_password: !unsafe '{{ x }}'}}}"
    )
    driver = StaticDriver(Place(tmp_path / ".harness" / "lab", "lab", written(tmp_path, "hosts.yml", known)))
    with pytest.raises(DriverError, match="that cannot be used"):
        driver.up(Wish(1), lambda _text: None)
    assert "ansible_become_password: !unsafe '{{ x }}'" in driver.planned(Wish(1)).inventory.read_text()


def test_two_labs_never_share_a_connection(tmp_path: Path) -> None:
    """The same address behind two gates is two machines; ssh's ``%C`` is the same for both."""
    paths = []
    for gate in ("one", "two"):
        text = f"a ansible_host=10.0.0.1 ansible_ssh_common_args='-o ProxyCommand=\"false {gate}\"'\n"
        place = Place(tmp_path / ".harness" / "lab", "lab", written(tmp_path, f"hosts-{gate}", text))
        with pytest.raises(DriverError, match="cannot be used"):
            StaticDriver(place).up(Wish(1), lambda _text: None)
        done = process.check(["ssh", "-F", place.home / "ssh_config", "-G", "a"], what="ssh -G")
        paths.append(next(line for line in done.out.splitlines() if line.startswith("controlpath")))
    assert paths[0] != paths[1]


def test_a_jump_is_taken_with_the_configuration_that_the_inventory_names(tmp_path: Path) -> None:
    written(tmp_path, "way in", "Host gate\n  HostName 192.0.2.1\n")
    text = f"a ansible_host=10.0.0.1 ansible_ssh_common_args=\"-F '{tmp_path / 'way in'}' -J x,gate\""
    (machine,) = inventory.read(written(tmp_path, "hosts", text))
    assert dict(machine.ssh)["proxycommand"] == f"ssh -F '{tmp_path / 'way in'}' -o BatchMode=yes -J x -W %h:%p gate"


def test_settings_of_the_roles_reach_ansible(tmp_path: Path) -> None:
    text = (
        "nodes: {hosts: {a: {ansible_host: 10.0.0.1, preflight_accepted: [clock], mine: x, node_base_x: '{{ mine }}'}}}"
    )
    (machine,) = inventory.read(written(tmp_path, "hosts.yml", text))
    assert (machine.variables["preflight_accepted"], machine.variables["node_base_x"]) == (["clock"], "x")
    assert "mine" not in machine.variables
