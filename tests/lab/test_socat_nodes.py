"""The forwarder socat on real nodes: proven like the other one, switched while running, beside the other one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.model.verdict import Status, Verdict
from harness.session import run, survey
from harness.session.lab import Lab
from harness.verdicts import Selection
from tests.lab.faults import OF_SOCAT, Fault, injected, on, victim
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).parents[2] / "examples"
WEB_APP = str(EXAMPLES / "web-app.yaml")
EVERY_PROMISE = Path(__file__).with_name("every_promise.yaml")


QUICK = ("relay-down",)
"""Causes that are looked for always; the others are found in the same way on nftables, or on one node (test_socat)."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_nodes(tmp_path_factory.mktemp("socat")) as lab:
        yield lab


def given(lab: Lab, *forwarders: str, path: str = WEB_APP) -> tuple[Cluster, Plan]:
    """The nodes with these forwarders and manifests in force."""
    plan = run.apply_only(replace(lab, forwarders=forwarders), [path], silent)
    return lab.cluster(), plan


def not_passing(found: Sequence[Verdict]) -> list[str]:
    return [str(verdict) for verdict in found if verdict.status not in (Status.PASS, Status.SKIP)]


@pytest.mark.parametrize("fault", [
    pytest.param(fault, id=fault.name, marks=() if fault.cause in QUICK else pytest.mark.long) for fault in OF_SOCAT
])  # fmt: skip
def test_a_fault_is_found_and_named(fault: Fault, lab: Lab) -> None:
    cluster, plan = given(lab, "socat")
    with injected(cluster, fault.make(plan)):
        found = survey.survey(cluster, plan, silent)
    failed = {verdict.check for verdict in found.verdicts if verdict.status is Status.FAIL}
    assert failed & ({fault.check} if fault.check else failed), failed
    causes = {diagnosis.cause: diagnosis for diagnosis in found.diagnoses}
    told = "\n".join(f"{diagnosis.cause}: {diagnosis.title}\n{diagnosis.text}" for diagnosis in found.diagnoses)
    assert fault.cause in causes, told
    if fault.names_node:
        assert causes[fault.cause].node == fault.names_node, told
    if fault.names_pod:
        assert causes[fault.cause].pod == victim(plan).key, told
    assert not_passing(survey.survey(cluster, plan, silent).verdicts) == []


@pytest.mark.parametrize("forwarders", [
    pytest.param(("socat",), id="socat", marks=pytest.mark.long), pytest.param(("socat", "n2=nftables"), id="mixed")
])  # fmt: skip
def test_every_promise_is_kept_from_everywhere_or_said_to_be_none(forwarders: tuple[str, ...], lab: Lab) -> None:
    """From outside, every node and a sample of pods, and by many clients; then from all pods.

    A datagram in thousands may be lost where a process must start first and the CPU is short: INCONCLUSIVE.
    """
    cluster, plan = given(lab, *forwarders, path=str(EVERY_PROMISE))
    found = survey.survey(cluster, plan, silent).verdicts
    assert [line for line in not_passing(found) if "UDP" not in line or "FAIL" in line] == []
    udp = [each for each in found if each.check == "answers" and "UDP" in each.subject]
    assert sum(each.status is Status.PASS for each in udp) > len(udp) * 0.9
    kept = {(each.check, each.vantage.partition("/")[0]) for each in found if each.status is Status.PASS}
    assert {(check, vantage) for check in ("answers", "affinity") for vantage in ("outside", "n1", "n2", "pod")} <= kept
    assert {("clients", "clients"), ("hairpin", "pod"), ("refused", "outside"), ("health-check", "outside")} <= kept
    assert not_promised(found) == expected_skips(plan)
    assert {each.vantage for each in found if each.check == "affinity" and "UDP" in each.subject} >= {"outside", "n2"}
    wide = survey.survey(cluster, plan, silent, Selection(("pod/|ClusterIP",))).verdicts
    assert [line for line in not_passing(wide) if "UDP" not in line or "FAIL" in line] == []
    assert {each.vantage for each in wide if each.status is Status.PASS} >= {f"pod/{pod.key}" for pod in plan.pods}


def not_promised(found: Sequence[Verdict]) -> set[tuple[str, str, str]]:
    """Check, Service (empty: all of them) and node of what is SKIP because of the node's forwarder."""
    lacks = [each for each in found if "forwarder socat of" in each.summary and "has no" in each.summary]
    assert {each.status for each in lacks} == {Status.SKIP}
    return {(each.check, each.service, each.node) for each in lacks}


def expected_skips(plan: Plan) -> set[tuple[str, str, str]]:
    without = {
        ("source", "default/local"), ("dropped", "default/local"), ("dropped", "default/few"),
        ("dropped", "default/inner"), ("answers", "default/web"), ("answers", ""),
    }  # fmt: skip
    return {(check, name, node.name) for check, name in without for node in plan.nodes if node.backend == "socat"}


def test_a_node_of_a_mixed_cluster_keeps_what_it_has(lab: Lab) -> None:
    _, plan = given(lab, "socat", "n2=nftables")
    _, then = given(lab)
    assert [node.backend for node in then.nodes] == ["socat", "nftables", "socat"]
    assert then.generation == plan.generation


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
