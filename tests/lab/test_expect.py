"""Somebody else's forwarder, HAProxy, judged on machines that are known by an inventory alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from harness.model.cluster import Cluster
from harness.model.progress import silent
from harness.model.run import Run
from harness.model.verdict import Status
from harness.session import foreign, run
from harness.session.lab import Lab
from harness.support import process
from tests.lab import haproxy
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_nodes(tmp_path_factory.mktemp("machines"), dual_stack=True) as lab:
        haproxy.install(lab.cluster(), tmp_path_factory.mktemp("packages"))
        yield lab.cluster()


@pytest.fixture(scope="module")
def lab(machines: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The machines as a user knows them: an inventory, and a way in."""
    folder = tmp_path_factory.mktemp("user")
    known = {
        "ansible_ssh_common_args": f"-F {machines.ssh_config}",
        "nodeport_client_netns": str(machines.client_netns),
        "nodeport_client_address": machines.client_address,
        "nodeport_client_address6": machines.client_address6,
    }
    hosts = {node.name: {"ansible_host": node.address, "nodeport_address6": node.address6} for node in machines.nodes}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": known}}))
    return Lab.at(folder, "default", "static", folder / "hosts.yml")


def expected(lab: Lab, **promise: object) -> Path:
    """An expectation file of the Service that HAProxy forwards."""
    service = {
        "name": "web",
        "ports": [{"nodePort": haproxy.NODE_PORT, "port": 80}],
        "endpoints": [
            {
                "name": name,
                "answers": f"{name}-server",
                "address": f"192.168.56.1{name[1]}",
                "port": haproxy.SERVER_PORT,
            }
            for name in ("n1", "n2", "n3")
        ],
        "identity": {"http": "/", "json": "server.name", "client": {"json": "client"}},
        "sourceIP": "hidden",
        "localhost": "closed",
        **promise,
    }
    file = lab.folder / "expect.yml"
    file.write_text(yaml.safe_dump({"services": [service]}))
    return file


def verified(lab: Lab, **promise: object) -> Run:
    return run.verify_promised(lab, foreign.look(lab, expected(lab, **promise), silent, outside_only=False), silent)


def failures(found: Run) -> list[str]:
    return [f"{each.check} {each.subject}: {each.summary}" for each in found.verdicts if each.status is not Status.PASS]


def test_random_is_proven(machines: Cluster, lab: Lab) -> None:
    haproxy.balance(machines, haproxy.BY_CHANCE)
    found = verified(lab, spread="random")
    assert failures(found) == []
    assert {each.check for each in found.verdicts} == {
        "answers",
        "responders",
        "coverage",
        "spread",
        "source",
        "closed",
    }
    assert {each.vantage for each in found.verdicts} == {"outside", "n1", "n2", "n3"}


def test_both_families_are_judged_where_both_are_promised(machines: Cluster, lab: Lab) -> None:
    haproxy.balance(machines, haproxy.BY_CHANCE)
    both = {"ipFamilies": ["IPv4", "IPv6"]}
    found = verified(lab, spread="random", **both)
    assert failures(found) == []
    asked = {(share.node, "IPv6" in share.place) for share in found.shares}
    assert asked == {(name, six) for name in ("n1", "n2", "n3") for six in (False, True)}
    of_six = {each.check for each in found.verdicts if "IPv6" in each.subject or "::1" in each.subject}
    assert of_six >= {"answers", "responders", "coverage", "spread", "source", "closed"}, of_six
    n2 = machines.nodes[1]
    haproxy.on(machines, "n2", f"sed -i '/bind {n2.address6}/d' /etc/haproxy/haproxy.cfg; {haproxy.RESTART}")
    red = [each for each in verified(lab, spread="random", **both).verdicts if each.status is Status.FAIL]
    assert {each.node for each in red} == {"n2"}
    assert all("IPv6" in each.subject for each in red), [each.subject for each in red]


def exported(lab: Lab, machines: Cluster, of_six: Collection[str]) -> Path:
    """An expectation file that names the Service as a cluster of two families exports it, with a slice of each."""
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"web-{family}", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": family,
            "endpoints": [
                {"addresses": [address], "targetRef": {"kind": "Pod", "name": f"{name}-server"}, "nodeName": name}
                for name, address in ends.items()
            ],
            "ports": [{"port": haproxy.SERVER_PORT}],
        }
        for family, ends in (
            ("IPv4", {node.name: node.address for node in machines.nodes}),
            ("IPv6", {node.name: node.address6 for node in machines.nodes if node.name in of_six}),
        )
    ]
    ports = [{"port": 80, "nodePort": haproxy.NODE_PORT}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "ipFamilies": ["IPv4", "IPv6"], "ports": ports},
    }
    (lab.folder / "cluster.yaml").write_text(yaml.safe_dump_all([service, *slices]))
    file = lab.folder / "exported.yml"
    file.write_text(yaml.safe_dump({"objects": ["cluster.yaml"], "identity": {"http": "/", "json": "server.name"}}))
    return file


def test_exported_slices_of_each_family_are_judged_at_its_addresses(machines: Cluster, lab: Lab) -> None:
    haproxy.balance(machines, haproxy.BY_CHANCE)
    file = exported(lab, machines, ("n1", "n2", "n3"))
    found = run.verify_promised(lab, foreign.look(lab, file, silent, outside_only=True), silent)
    assert failures(found) == []
    assert {(share.node, "IPv6" in share.place) for share in found.shares} == {
        (name, six) for name in ("n1", "n2", "n3") for six in (False, True)
    }
    file = exported(lab, machines, ("n1", "n2"))
    found = run.verify_promised(lab, foreign.look(lab, file, silent, outside_only=True), silent)
    red = [each for each in found.verdicts if each.status is Status.FAIL]
    assert {(each.check, each.node) for each in red} == {("responders", name) for name in ("n1", "n2", "n3")}
    assert all("IPv6" in each.subject and "n3-server" in each.summary for each in red), failures(found)


def test_round_robin_is_proven_and_random_is_not_it(machines: Cluster, lab: Lab) -> None:
    haproxy.balance(machines, haproxy.BY_CHANCE)
    by_chance = verified(lab, spread="round-robin")
    assert {(each.check, each.node) for each in by_chance.verdicts if each.status is Status.FAIL} == {
        ("turns", "n1"), ("turns", "n2"), ("turns", "n3"),
    }, failures(by_chance)  # fmt: skip
    haproxy.balance(machines, "roundrobin")
    found = verified(lab, spread="round-robin")
    assert failures(found) == []
    assert [each.node for each in found.verdicts if each.check == "turns"] == ["n1", "n2", "n3"]


@pytest.mark.parametrize(("how", "promise"), [(haproxy.BY_CHANCE, "random"), ("roundrobin", "round-robin")])
def test_a_wrong_weight_is_found_with_its_node_and_endpoint(
    machines: Cluster, lab: Lab, how: str, promise: str
) -> None:
    haproxy.balance(machines, how, {"n2": {"n3": 20}})
    found = verified(lab, spread=promise)
    failed = [each for each in found.verdicts if each.status is Status.FAIL]
    assert {(each.check, each.node) for each in failed} == {("spread", "n2")}, failures(found)
    assert all("default/n3 gave" in each.summary and "double weight" in each.summary for each in failed)
    assert [(each.cause, each.node, each.pod) for each in found.diagnoses] == [("endpoint-weight", "n2", "default/n3")]


def test_promised_weights_are_proven_and_others_are_not(machines: Cluster, lab: Lab) -> None:
    uneven: Mapping[str, int] = {"n1": 10, "n2": 30, "n3": 60}
    haproxy.balance(machines, haproxy.BY_CHANCE, {"n1": uneven, "n2": uneven, "n3": {**uneven, "n1": 30}})
    found = verified(lab, weights={"n1": 1, "n2": 3, "n3": 6})
    failed = [each for each in found.verdicts if each.status is not Status.PASS]
    assert {(each.check, each.node, each.status) for each in failed} == {("spread", "n3", Status.FAIL)}, failures(found)
    assert all("default/n1 gave" in each.summary for each in failed)


def test_from_outside_alone_no_ssh_is_needed(machines: Cluster, lab: Lab, tmp_path: Path) -> None:
    haproxy.balance(machines, haproxy.BY_CHANCE)
    assert lab.inventory is not None
    hosts = yaml.safe_load(lab.inventory.read_text())
    hosts["all"]["vars"]["ansible_ssh_common_args"] = "-o ProxyCommand=false"
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    argv: list[str | Path] = [Path(sys.executable).with_name("harness"), "verify", "-i", "hosts.yml", "--no-converge"]
    argv += ["--expect", expected(lab)]
    done = process.run([*argv, "--outside-only", "--json"], timeout=60, cwd=tmp_path)
    report = json.loads(done.out)
    assert (done.code, report["status"]) == (0, "PASS"), done.err
    assert {each["vantage"] for each in report["verdicts"]} == {"outside", ""}
    assert [each["subject"] for each in report["verdicts"] if each["status"] == "SKIP"] == ["default/web on 127.0.0.1"]
    refused = process.run(argv, timeout=60, cwd=tmp_path)
    assert refused.code == 4
    assert "n1: " in refused.err


def test_what_answers_though_it_should_not_is_found(machines: Cluster, lab: Lab) -> None:
    haproxy.balance(machines, haproxy.BY_CHANCE)
    haproxy.on(machines, "n2", f"sed -i 's/bind .*/bind *:30080/' /etc/haproxy/haproxy.cfg; {haproxy.RESTART}")
    found = verified(lab, sourceIP="kept")
    failed = {(each.check, each.node) for each in found.verdicts if each.status is Status.FAIL}
    assert failed == {("source", "n1"), ("source", "n2"), ("source", "n3"), ("closed", "n2")}, failures(found)


def test_a_dead_server_is_told_from_a_dead_forwarder(machines: Cluster, lab: Lab) -> None:
    haproxy.balance(machines, haproxy.BY_CHANCE)
    haproxy.on(machines, "n3", "systemctl stop server")
    try:
        found = verified(lab)
        assert [(each.cause, each.pod) for each in found.diagnoses] == [("endpoint-at-fault", "default/n3")]
    finally:
        haproxy.serve(machines, "n3")
    haproxy.on(machines, "n1", "systemctl stop haproxy")
    found = verified(lab)
    assert [(each.cause, each.node) for each in found.diagnoses] == [("node-silent", "n1")], failures(found)
