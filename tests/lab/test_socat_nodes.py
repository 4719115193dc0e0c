"""The forwarder socat on real nodes: proven like the other one, switched while running, beside the other one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.session import run, survey
from harness.session.lab import Lab
from tests.lab.faults import OF_SOCAT, Fault, injected, on, victim
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).parents[2] / "examples"
WEB_APP = str(EXAMPLES / "web-app.yaml")
UDP = """
apiVersion: v1
kind: Service
metadata: {name: dns}
spec:
  type: NodePort
  selector: {app: dns}
  ports: [{port: 53, protocol: UDP, nodePort: 30053}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: dns}
spec:
  replicas: 3
  selector: {matchLabels: {app: dns}}
  template:
    metadata: {labels: {app: dns}}
    spec: {containers: [{name: dns, image: dns, ports: [{containerPort: 53, protocol: UDP}]}]}
"""


QUICK = ("relay-down", "relay-stuck", "endpoint-left-out")
"""Causes that are looked for always; the others are found in the same way on nftables."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_nodes(tmp_path_factory.mktemp("socat")) as lab:
        yield lab


def given(lab: Lab, *forwarders: str, path: str = WEB_APP) -> tuple[Cluster, Plan]:
    """The nodes with these forwarders and manifests in force."""
    plan = run.apply_only(replace(lab, forwarders=forwarders), [path], silent)
    return lab.cluster(), plan


def not_passing(found: survey.Survey) -> list[str]:
    return [str(verdict) for verdict in found.verdicts if verdict.status not in (Status.PASS, Status.SKIP)]


@pytest.mark.parametrize("fault", [
    pytest.param(fault, id=fault.name, marks=() if fault.cause in QUICK else pytest.mark.long) for fault in OF_SOCAT
])  # fmt: skip
def test_a_fault_is_found_and_named(fault: Fault, lab: Lab) -> None:
    cluster, plan = given(lab, "socat")
    with injected(cluster, fault.make(plan)):
        found = survey.survey(cluster, plan, silent)
    assert Status.FAIL in {verdict.status for verdict in found.verdicts}
    causes = {diagnosis.cause: diagnosis for diagnosis in found.diagnoses}
    told = "\n".join(f"{diagnosis.cause}: {diagnosis.title}\n{diagnosis.text}" for diagnosis in found.diagnoses)
    assert fault.cause in causes, told
    if fault.names_node:
        assert causes[fault.cause].node == fault.names_node, told
    if fault.names_pod:
        assert causes[fault.cause].pod == victim(plan).key, told
    assert not_passing(survey.survey(cluster, plan, silent)) == []


def test_udp_passes(lab: Lab, tmp_path: Path) -> None:
    """A datagram in thousands may be lost where a process must start first and the CPU is short: INCONCLUSIVE."""
    (tmp_path / "udp.yaml").write_text(UDP)
    cluster, plan = given(lab, "socat", path=str(tmp_path / "udp.yaml"))
    found = survey.survey(cluster, plan, silent)
    assert [str(each) for each in found.verdicts if each.status in (Status.FAIL, Status.ERROR)] == []
    answers = [each for each in found.verdicts if each.check == "answers" and "UDP" in each.subject]
    assert sum(each.status is Status.PASS for each in answers) > len(answers) * 0.9


def test_a_mixed_cluster_passes_and_a_node_keeps_what_it_has(lab: Lab) -> None:
    cluster, plan = given(lab, "socat", "n2=nftables")
    assert not_passing(survey.survey(cluster, plan, silent)) == []
    _, then = given(lab)
    assert [node.backend for node in then.nodes] == ["socat", "nftables", "socat"]
    assert then.generation == plan.generation


def test_what_socat_does_not_promise_is_skipped_by_name_and_nothing_fails(lab: Lab) -> None:
    cluster, plan = given(lab, "nftables", "n1=socat", path=str(EXAMPLES / "policies.yaml"))
    found = survey.survey(cluster, plan, silent)
    lacks = [each for each in found.verdicts if "forwarder socat of n1 has no" in each.summary]
    assert {each.status for each in lacks} == {Status.SKIP}
    skipped = {(each.check, each.service, each.node) for each in lacks if each.service}
    assert skipped == {
        ("source", "default/local", "n1"), ("dropped", "default/local", "n1"), ("dropped", "default/few", "n1"),
    }  # fmt: skip
    assert not_passing(found) == []


def test_switching_leaves_no_trace_of_the_other_on_a_node(lab: Lab) -> None:
    given(lab, "nftables")
    before = traces(lab)
    assert "table ip nodeport" in before
    given(lab, "socat")
    assert "table ip nodeport" not in traces(lab)
    given(lab, "nftables")
    assert traces(lab) == before
    given(lab, "socat")


def test_what_is_left_of_another_forwarder_is_found(lab: Lab) -> None:
    cluster, plan = given(lab, "socat")
    on(cluster, "n3", "nft add table ip nodeport")
    found = survey.survey(cluster, plan, silent)
    on(cluster, "n3", "nft delete table ip nodeport")
    assert [(each.node, each.summary) for each in found.verdicts if each.status is Status.FAIL] == [
        ("n3", "traces of the forwarder nftables are left")
    ]


def traces(lab: Lab) -> str:
    """Tables, units, listening sockets and processes of a node that are ours, and the folders of /run."""
    return on(
        lab.cluster(), "n1",
        "nft list tables; systemctl list-units --all --plain --no-legend 'nodeport*' | cut -d' ' -f1; "
        "ls /run/nodeport*; "
        "ss -Hltn | grep 3000 || true; ps -eo args | grep -c '[u]sr/bin/socat' || true; systemctl --failed --no-legend",
    )  # fmt: skip
