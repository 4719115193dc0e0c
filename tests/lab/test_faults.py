"""The proof can fail: each fault, on real nodes, turns the survey red with the right node, pod and cause named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.session import sources, survey
from harness.session.lab import Lab
from harness.verdicts import Selection
from tests.lab.faults import FAULTS, NO_ROOM, Fault, awaited, injected, on, victim
from tests.lab.labs import with_applied

pytestmark = pytest.mark.lab

WEB_APP = Path(__file__).parents[2] / "examples" / "web-app.yaml"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_applied(tmp_path_factory.mktemp("faults"), WEB_APP) as lab:
        yield lab


def not_passing(found: survey.Survey) -> list[str]:
    return [str(verdict) for verdict in found.verdicts if verdict.status is not Status.PASS]


def test_the_healthy_lab_passes(cluster: Cluster, plan: Plan) -> None:
    found = survey.survey(cluster, plan, silent)
    assert not_passing(found) == []
    assert found.diagnoses == ()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_and_named(fault: Fault, cluster: Cluster, plan: Plan) -> None:
    """At once: readiness checks may notice it before the survey's end, or not."""
    with injected(cluster, fault.make(plan)):
        found = survey.survey(cluster, plan, silent)
    named(found, fault, {fault.cause, fault.later} - {""}, plan)
    assert not_passing(survey.survey(cluster, plan, silent, Selection(("outside → ", "node-state")))) == []


HELD = [fault for fault in FAULTS if fault.held]


@pytest.mark.parametrize("fault", [
    pytest.param(fault, id=fault.name, marks=() if fault is HELD[0] else pytest.mark.long) for fault in HELD
])  # fmt: skip
def test_a_fault_is_found_and_named_when_its_pod_is_not_used_any_more(
    fault: Fault, cluster: Cluster, plan: Plan
) -> None:
    """No connection fails then, and still it is red: what was planned is not what is."""
    with injected(cluster, fault.make(plan)):
        for node in fault.held:
            on(cluster, node, awaited(f"'{victim(plan).key}' in unready"))
        found = survey.survey(cluster, plan, silent)
    named(found, fault, {fault.later or fault.cause}, plan)
    holding = {facts.node for facts in found.facts if any(each.pod == victim(plan).key for each in facts.unready)}
    assert holding == set(fault.held)
    assert not_passing(survey.survey(cluster, plan, silent)) == []


def named(found: survey.Survey, fault: Fault, causes: set[str], plan: Plan) -> None:
    """The survey is red, and one of the causes is told, of the right node and pod."""
    failed = {verdict.check for verdict in found.verdicts if verdict.status is Status.FAIL}
    assert failed & ({fault.check} if fault.check else failed), failed
    told = "\n".join(f"{diagnosis.cause}: {diagnosis.title}\n{diagnosis.text}" for diagnosis in found.diagnoses)
    fitting = [diagnosis for diagnosis in found.diagnoses if diagnosis.cause in causes]
    assert len(fitting) == 1, told
    if fault.names_node:
        assert fitting[0].node == fault.names_node, told
    if fault.names_pod:
        assert fitting[0].pod == victim(plan).key, told


@pytest.mark.long
def test_a_node_without_room_for_more_connections_is_found_and_named(cluster: Cluster, plan: Plan) -> None:
    test_a_fault_is_found_and_named(NO_ROOM, cluster, plan)


@pytest.mark.long
def test_a_hundred_healthy_surveys_raise_no_alarm(cluster: Cluster, plan: Plan) -> None:
    for _ in range(100):
        assert not_passing(survey.survey(cluster, plan, silent)) == []


def test_manifests_of_this_test_are_those_of_the_examples() -> None:
    assert sources.read([str(WEB_APP)])[0][1].count(b"replicas: 3") == 1
