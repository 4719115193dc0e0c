"""The proof can fail: each fault, on real nodes, turns the survey red with the right node, pod and cause named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.drivers import Wish
from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.session import run, sources, survey
from harness.session.lab import Lab
from tests.lab.faults import FAULTS, Fault, injected, victim

pytestmark = pytest.mark.lab

WEB_APP = Path(__file__).parents[2] / "examples" / "web-app.yaml"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab.at(tmp_path_factory.mktemp("faults"), "faults", "nspawn")
    try:
        lab.driver.up(Wish(3), lambda _text: None)
        run.apply_only(lab, [str(WEB_APP)], silent)
        yield lab
    finally:
        lab.driver.down(lambda _text: None)


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return lab.cluster()


@pytest.fixture(scope="module")
def plan(lab: Lab, cluster: Cluster) -> Plan:
    applied = lab.applied_plan(cluster)
    assert applied is not None
    return applied


def not_passing(found: survey.Survey) -> list[str]:
    return [str(verdict) for verdict in found.verdicts if verdict.status is not Status.PASS]


def test_the_healthy_lab_passes(cluster: Cluster, plan: Plan) -> None:
    found = survey.survey(cluster, plan, silent)
    assert not_passing(found) == []
    assert found.diagnoses == ()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_and_named(fault: Fault, cluster: Cluster, plan: Plan) -> None:
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


@pytest.mark.long
def test_a_hundred_healthy_surveys_raise_no_alarm(cluster: Cluster, plan: Plan) -> None:
    for _ in range(100):
        assert not_passing(survey.survey(cluster, plan, silent)) == []


def test_manifests_of_this_test_are_those_of_the_examples() -> None:
    assert sources.read([str(WEB_APP)])[0][1].count(b"replicas: 3") == 1
