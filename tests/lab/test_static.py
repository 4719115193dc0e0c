"""Machines of a user's inventory: nodes of a lab, used as if they were somebody's bare metal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.drivers import Wish
from harness.errors import DriverError
from harness.model.cluster import Cluster
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.session import remote, run
from harness.session.lab import Lab
from harness.support import process
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
WEB_APP = str(ROOT / "examples" / "web-app.yaml")
DUMP = (
    "cd / && find etc/nodeport usr/local/lib/nodeport etc/systemd/system -type f -not -name '*.pyc' "
    "| LC_ALL=C sort | xargs sha256sum; systemctl is-active nodeportd nodeport-pods nodeport-network; "
    "nft -s list chain ip nodeport prerouting; ip -o route | LC_ALL=C sort"
)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_nodes(tmp_path_factory.mktemp("machines"), 2) as lab:
        yield lab.cluster()


@pytest.fixture(scope="module")
def source(machines: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory as a user has it: INI, with the way in and the client's place in group_vars, by a template."""
    folder = tmp_path_factory.mktemp("inventory")
    hosts = "\n".join(f"{name} ansible_host={node.address}" for name, node in zip("ab", machines.nodes, strict=True))
    (folder / "hosts").write_text(f"[web]\n{hosts}\n[nodes:children]\nweb\n")
    (folder / "group_vars").mkdir()
    known = {
        "way_in": str(machines.ssh_config),
        "ansible_ssh_common_args": "-F {{ way_in }}",
        "nodeport_client_netns": str(machines.client_netns),
        "nodeport_client_address": machines.client_address,
    }
    (folder / "group_vars" / "web.yml").write_text(yaml.safe_dump(known))
    return folder


@pytest.fixture(scope="module")
def lab(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab.at(tmp_path_factory.mktemp("user"), "default", "static", source)


def dump(cluster: Cluster) -> list[str]:
    found: list[str] = []
    for node in cluster.nodes:
        done = remote.run(cluster, node.name, ["sh", "-c", DUMP])
        assert done.ok, done.err
        found += (f"{node.name}: {line}" for line in done.out.splitlines())
    return found


def by_hand(lab: Lab, playbook: str, *options: str) -> str:
    """A playbook with the user's own inventory, as a person calls it; nothing of the lab's files is needed."""
    argv: list[str | Path] = [Path(sys.executable).with_name("ansible-playbook"), "-i", lab.inventory or ""]
    return process.check([*argv, f"playbooks/{playbook}", *options], what=playbook, cwd=ROOT, timeout=120).out


def test_a_run_proves_the_machines_and_leaves_them(lab: Lab) -> None:
    found = run.run(lab, [WEB_APP], None, run.Destroy.ALWAYS, silent)
    assert found.status is Status.PASS, found.verdicts
    assert "down" not in {phase.name for phase in found.phases}
    assert [node.node for node in found.facts] == ["a", "b"]


def test_playbooks_by_hand_give_the_same_machines(lab: Lab, tmp_path: Path) -> None:
    cluster = lab.cluster()
    applied = dump(cluster)
    harness: list[str | Path] = [Path(sys.executable).with_name("harness"), "-i", lab.inventory or ""]
    plan = tmp_path / "plan.yml"
    process.check([*harness, "plan", "-f", WEB_APP, "-o", plan], what="harness plan", cwd=lab.folder)
    by_hand(lab, "reset.yml")
    assert dump(cluster) != applied
    by_hand(lab, "site.yml", "-e", f"@{plan}")
    assert dump(cluster) == applied
    again = by_hand(lab, "site.yml", "-e", f"@{plan}", "--check", "--diff")
    assert again.count("changed=0 ") == 2, again


def test_a_machine_that_does_not_answer_is_named(lab: Lab, source: Path, tmp_path: Path) -> None:
    hosts, known = (source / "hosts").read_text(), (source / "group_vars" / "web.yml").read_text()
    (tmp_path / "hosts").write_text(hosts.replace("192.168.56.12", "192.168.56.99"))
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "web.yml").write_text(known)
    other = Lab.at(tmp_path, "default", "static", tmp_path)
    told = list[str]()
    cluster = other.driver.up(Wish(2), told.append)
    assert [node.name for node in cluster.nodes] == ["a"], "the others go on"
    assert [machine.name for machine in cluster.missing] == ["b"]
    assert "b cannot be used: " in "\n".join(told)
    assert other.driver.status() == cluster


def test_a_changed_host_key_is_refused(lab: Lab, source: Path, machines: Cluster, tmp_path: Path) -> None:
    known = dict(yaml.safe_load((source / "group_vars" / "web.yml").read_text()))
    keys, folder = tmp_path / "keys", tmp_path / "inventory"
    stranger = keys / "known_hosts"
    keys.mkdir()
    process.check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / "key"], what="a key")
    kind, key = (keys / "key.pub").read_text().split()[:2]
    stranger.write_text("".join(f"{node.address} {kind} {key}\n" for node in machines.nodes))
    known["ansible_ssh_common_args"] = f"-o UserKnownHostsFile={stranger} -F {{{{ way_in }}}}"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts").write_text((source / "hosts").read_text())
    (folder / "group_vars" / "web.yml").write_text(yaml.safe_dump(known))
    with pytest.raises(DriverError, match=r"[Hh]ost key verification failed"):
        Lab.at(tmp_path, "default", "static", folder).driver.up(Wish(2), lambda _text: None)


def test_down_forgets_the_machines_and_touches_nothing(lab: Lab) -> None:
    cluster, told = lab.cluster(), list[str]()
    before = dump(cluster)
    lab.driver.down(told.append)
    assert dump(cluster) == before
    assert lab.driver.status() is None
    assert "reset.yml" in told[0]
