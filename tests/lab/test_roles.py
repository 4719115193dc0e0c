"""The playbooks on real nodes: a dry run on a virgin node, converge, nothing to do the second time, and back again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.converge import hostvars, runner
from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.session import apply, remote, sources
from harness.session.lab import Lab
from harness.support import process
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
SEEN = "ip netns; ip -br link; ip route; nft list tables; ls /etc/nodeport /usr/local/lib/nodeport /etc/sysctl.d; \
systemctl list-units --no-legend --plain 'nodeport*'; systemctl list-unit-files --no-legend 'nodeport*'"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_nodes(tmp_path_factory.mktemp("roles"), 2) as lab:
        yield lab


@pytest.fixture(scope="module")
def wanted(cluster: Cluster) -> Plan:
    return apply.make_plan(sources.read([str(ROOT / "examples" / "web-app.yaml")]), cluster, None)


@pytest.fixture(scope="module")
def variables(wanted: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    file.write_text(json.dumps(hostvars.render(wanted)))
    return file


def seen(cluster: Cluster) -> list[str]:
    return [remote.run(cluster, node.name, ["sh", "-c", SEEN]).out for node in cluster.nodes]


def dry_run(cluster: Cluster, variables: Path) -> process.Completed:
    words: list[str | Path] = [
        Path(sys.executable).with_name("ansible-playbook"),
        "--check",
        "--diff",
        "-i",
        cluster.inventory,
    ]
    return process.run(
        [*words, ROOT / "playbooks" / "site.yml", "-e", f"@{variables}"], timeout=120, cwd=ROOT / "playbooks"
    )


def test_a_dry_run_on_a_virgin_node_works_and_changes_nothing(cluster: Cluster, variables: Path) -> None:
    before = seen(cluster)
    done = dry_run(cluster, variables)
    assert done.ok, done.out
    assert seen(cluster) == before


def test_converge_twice_and_the_second_time_nothing_changes(cluster: Cluster, variables: Path, tmp_path: Path) -> None:
    first = runner.play("site.yml", cluster, variables, tmp_path / "1.log", silent)
    assert all(recap.changed for recap in first.recaps)
    second = runner.play("site.yml", cluster, variables, tmp_path / "2.log", silent)
    assert [(recap.node, recap.changed) for recap in second.recaps] == [("n1", 0), ("n2", 0)], second.changed


def test_a_dry_run_on_a_converged_node_finds_nothing_to_do(cluster: Cluster, variables: Path) -> None:
    done = dry_run(cluster, variables)
    assert done.ok, done.out
    assert done.out.count("changed=0") == len(cluster.nodes), done.out


@pytest.mark.parametrize(
    "harms",
    [
        {"n1": "nft flush ruleset", "n2": "rm /etc/nodeport/pods.json"},  # a pod that goes has nodeportd mend its table
        {"n1": "ip route flush proto 77", "n2": "systemctl stop nodeportd"},
        {"n1": "sysctl -qw net.ipv4.ip_forward=0", "n2": "systemctl stop 'nodeport-pod@*'"},
        {"n1": "echo >> /usr/local/lib/nodeport/responder.py"},
    ],
)
def test_an_apply_mends_what_somebody_changed(
    harms: dict[str, str], cluster: Cluster, variables: Path, tmp_path: Path
) -> None:
    for node, harm in harms.items():
        assert remote.run(cluster, node, ["sh", "-c", harm]).ok
    mended = runner.play("site.yml", cluster, variables, tmp_path / "log", silent)
    assert {recap.node for recap in mended.recaps if recap.changed} == set(harms), mended.changed
    again = runner.play("site.yml", cluster, variables, tmp_path / "log", silent)
    assert [recap.changed for recap in again.recaps] == [0, 0], again.changed


def test_nodeportd_and_pods_are_confined(cluster: Cluster) -> None:
    for unit in ("nodeportd.service", "nodeport-pod@x.service"):
        shown = remote.run(cluster, "n1", ["systemd-analyze", "security", "--no-pager", unit]).out
        exposure = float(shown.rsplit(":", 2)[1].split()[0])
        assert exposure < 4, shown.splitlines()[-1]


def test_reset_leaves_nothing_and_does_nothing_twice(cluster: Cluster, variables: Path, tmp_path: Path) -> None:
    runner.play("reset.yml", cluster, variables, tmp_path / "1.log", silent)
    for text in seen(cluster):
        assert "pod-" not in text
        assert "nodeport" not in text.replace("/etc/nodeport", "").replace("/usr/local/lib/nodeport", "")
        assert "cni0" not in text
    second = runner.play("reset.yml", cluster, variables, tmp_path / "2.log", silent)
    assert [recap.changed for recap in second.recaps] == [0, 0], second.changed
