"""Nodes with several addresses: nodePorts answer at those that are named, and at no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.model.cluster import Cluster
from harness.model.progress import silent
from harness.model.run import Run
from harness.model.verdict import Status
from harness.session import remote, run, survey
from harness.session.lab import Lab
from tests.lab.faults import Injection, injected
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

WEB_APP = str(Path(__file__).parents[2] / "examples" / "web-app.yaml")
SECOND = """ip link add second type bridge; ip link set second up; ip address add 10.98.0.{n}/32 dev second
ip address add 10.99.0.{n}/24 dev eth0"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes, each with a second address on its link, and a third on a link of its own that leads nowhere."""
    with with_nodes(tmp_path_factory.mktemp("machines"), 2) as lab:
        cluster = lab.cluster()
        for number, node in enumerate(cluster.nodes, 1):
            done = remote.run(cluster, node.name, ["sh", "-ec", SECOND.format(n=number)])
            assert done.ok, done.err
        yield cluster


def machines_with(machines: Cluster, folder: Path, **words: object) -> Lab:
    """The machines as a user knows them, with these ``nodeport_addresses`` in the inventory."""
    known = {
        "ansible_ssh_common_args": f"-F {machines.ssh_config}",
        "nodeport_client_netns": str(machines.client_netns),
        "nodeport_client_address": machines.client_address,
    }
    hosts = {
        node.name: {"ansible_host": node.address}
        | ({"nodeport_addresses": words[node.name]} if node.name in words else {})
        for node in machines.nodes
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": known}}))
    return Lab.at(folder, "default", "static", folder / "hosts.yml")


@pytest.fixture(scope="module")
def named(machines: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    words = {"n1": ["primary", "10.99.0.0/24"], "n2": "10.98.0.0/16"}
    return machines_with(machines, tmp_path_factory.mktemp("named"), **words)


def failures(found: Run | survey.Survey) -> list[str]:
    bad = [each for each in found.verdicts if each.status not in (Status.PASS, Status.SKIP)]
    return [f"{each.check} {each.subject}: {each.summary}" for each in bad]


def asked(found: Run, promise: str) -> set[tuple[str, str]]:
    """Vantage points and places that were judged so."""
    return {(share.vantage, share.place) for share in found.shares if share.promise == promise}


def test_primary_alone_answers_by_default(machines: Cluster, tmp_path: Path) -> None:
    found = run.run(machines_with(machines, tmp_path), [WEB_APP], None, run.Destroy.NEVER, silent)
    assert failures(found) == []
    assert asked(found, "closed") == {
        ("n1", "n1 (10.98.0.1)"), ("n1", "n1 (10.99.0.1)"), ("n2", "n1 (10.99.0.1)"),
        ("n2", "n2 (10.98.0.2)"), ("n2", "n2 (10.99.0.2)"), ("n1", "n2 (10.99.0.2)"),
    }  # fmt: skip


def test_named_networks_answer_and_nothing_else_does(named: Lab) -> None:
    found = run.run(named, [WEB_APP], None, run.Destroy.NEVER, silent)
    assert failures(found) == []
    assert asked(found, "coverage") >= {("n1", "n1 (10.99.0.1)"), ("n2", "n1 (10.99.0.1)")}
    assert ("n2", "n2 (10.98.0.2)") in asked(found, "spread")
    assert asked(found, "closed") >= {("outside", "n2"), ("n1", "n2"), ("n2", "n2"), ("n1", "n1 (10.98.0.1)")}


@pytest.mark.parametrize(
    ("node", "breaks", "mends", "check", "cause"),
    [
        pytest.param(
            "n1",
            "nft 'table ip stranger { chain before { type filter hook prerouting priority -150; "
            "ip daddr 10.99.0.1 tcp dport 30008 drop; }; chain out { type filter hook output priority -150; "
            "ip daddr 10.99.0.1 tcp dport 30008 drop; }; }'",
            "nft delete table ip stranger",
            "answers", "address-dead", id="a named address is swallowed",
        ),
        pytest.param(
            "n2",
            "systemd-run --unit intruder python3 -m http.server 30008 && "
            "timeout 10 sh -c 'until ss -ltn | grep -q :30008; do :; done'",
            "systemctl stop intruder",
            "closed", "address-open", id="somebody listens at an address that is not named",
        ),
    ],
)  # fmt: skip
def test_what_is_broken_at_one_address_is_found(
    node: str, breaks: str, mends: str, check: str, cause: str, named: Lab
) -> None:
    cluster = named.cluster()
    plan = named.applied_plan(cluster)
    assert plan is not None
    with injected(cluster, Injection(node, breaks, "true", mends)):
        found = survey.survey(cluster, plan, silent)
    assert {(each.check, each.node) for each in found.verdicts if each.status is Status.FAIL} == {(check, node)}
    assert [(each.cause, each.node) for each in found.diagnoses] == [(cause, node)], failures(found)
    assert failures(survey.survey(cluster, plan, silent)) == []
