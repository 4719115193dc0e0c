"""Debian 13: nft 1.1.3, socat 1.8 and Python 3.13 understand, list and run what Debian 12 does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.forwarder import FORWARDERS
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.session import run, survey
from harness.session.lab import Lab
from tests.lab.labs import with_nodes

pytestmark = [pytest.mark.lab, pytest.mark.long]

POLICIES = str(Path(__file__).parents[2] / "examples" / "policies.yaml")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_nodes(tmp_path_factory.mktemp("trixie"), 2, ("trixie",)) as lab:
        yield lab


@pytest.mark.parametrize("forwarder", FORWARDERS)
def test_every_promise_is_kept_and_nothing_is_taken_for_drift(forwarder: str, lab: Lab) -> None:
    plan = run.apply_only(replace(lab, forwarders=(forwarder,)), [POLICIES], silent)
    found = survey.survey(lab.cluster(), plan, silent)
    assert [str(each) for each in found.verdicts if each.status not in (Status.PASS, Status.SKIP)] == []
    assert {facts.drift for facts in found.facts} == {()}
