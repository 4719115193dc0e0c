"""The kept plan: what is not one is refused with a way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import plan
from harness.errors import PlanError
from harness.model.workload import ServicePort, Workload
from tests.unit.plan.sample import LAB, deployment, nodes, service


def kept() -> str:
    workload = Workload(replica_sets=(deployment("web", 2),), services=(service("web", ServicePort(80, "http")),))
    return plan.dumps(plan.build(workload, nodes(2), LAB, None))


def test_the_text_is_json_for_people() -> None:
    text = kept()
    assert text.endswith("}\n")
    assert text.count("\n") > 20
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda text: "", "cannot be read", id="empty"),
        pytest.param(lambda text: text[: len(text) // 2], "cannot be read", id="cut off"),
        pytest.param(lambda text: "[" * 100_000, "cannot be read", id="deeply nested"),
        pytest.param(lambda text: "\ud800" + text, "cannot be read", id="no Unicode text"),
        pytest.param(lambda text: "[]", "cannot be read", id="another kind of JSON"),
        pytest.param(lambda text: "{}", "cannot be read", id="no version"),
        pytest.param(lambda text: text.replace('"version": 1', '"version": 2'), "version 2", id="newer version"),
        pytest.param(lambda text: '{"version": 0, "plan": 7}', "version 0", id="older version, other shape"),
        pytest.param(
            lambda text: text.replace('"generation": 1', '"generation": "1"'),
            r"\$\.plan\.generation",
            id="a wrong type",
        ),
        pytest.param(lambda text: text.replace('"lab_uid"', '"lab"'), "lab_uid", id="a missing field"),
    ],
)
def test_anything_else_is_refused_with_a_hint(change: object, told: str) -> None:
    assert callable(change)
    with pytest.raises(PlanError, match=told) as caught:
        plan.loads(change(kept()))
    assert "harness down" in caught.value.hint


def test_a_file_of_this_version_written_earlier_is_still_read() -> None:
    """Fields that were added since have defaults; when this fails, give codec.VERSION the next number."""
    text = (Path(__file__).parent / "kept-1.json").read_text(encoding="utf-8")
    assert plan.loads(plan.dumps(plan.loads(text).plan)) == plan.loads(text)
    assert plan.loads(text).plan.services[1].ports[0].node_port == 30008
