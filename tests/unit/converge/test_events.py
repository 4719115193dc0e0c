"""ansible-runner's events, as ansible-core 2.19 sends them, become values."""

from __future__ import annotations

from typing import Any

import pytest

from harness.converge.events import read
from harness.model.convergence import NodeRecap, TaskResult, TaskStatus
from harness.model.progress import TaskStarted


def ended(kind: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": "n1", "task": "workload : Run the pods", **data}}


def test_a_task_begins() -> None:
    assert read({"event": "playbook_on_task_start", "event_data": {"task": "Wait"}}) == TaskStarted("Wait")


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (ended("runner_on_ok", res={"changed": False}), TaskStatus.OK),
        (ended("runner_on_ok", res={"changed": True}), TaskStatus.CHANGED),
        (ended("runner_on_skipped", res={"changed": False}), TaskStatus.SKIPPED),
    ],
)
def test_a_task_ends_well(event: dict[str, Any], status: TaskStatus) -> None:
    assert read(event) == TaskResult("n1", "workload : Run the pods", status)


def test_what_a_role_says_is_kept() -> None:
    said = read(ended("runner_on_ok", task_action="ansible.builtin.debug", res={"msg": "n1 does not use web-1"}))
    assert said == TaskResult("n1", "workload : Run the pods", TaskStatus.OK, "n1 does not use web-1")
    assert read(ended("runner_on_ok", task_action="ansible.builtin.command", res={"msg": "x"})) == TaskResult(
        "n1", "workload : Run the pods", TaskStatus.OK
    )


@pytest.mark.parametrize(
    ("res", "message"),
    [
        ({"msg": "no route"}, "no route"),
        ({"msg": "non-zero return code", "stderr": "nft: bad\n"}, "non-zero return code\nnft: bad"),
        ({"msg": ["one", "two"]}, "one; two"),
        ({"msg": "", "module_stderr": "bash: python3: not found"}, "bash: python3: not found"),
        (
            {
                "msg": "One or more items failed",
                "results": [{"failed": True, "item": "b", "msg": "full"}, {"item": "a"}],
            },
            "b: full\nOne or more items failed",
        ),
        ({}, "no message"),
    ],
)
def test_a_failure_says_what_a_person_needs(res: dict[str, Any], message: str) -> None:
    result = read(ended("runner_on_failed", res=res))
    assert isinstance(result, TaskResult)
    assert (result.status, result.message) == (TaskStatus.FAILED, message)


def test_an_unreachable_node_is_not_a_failed_task() -> None:
    result = read(ended("runner_on_unreachable", res={"msg": "ssh: timed out", "unreachable": True}))
    assert result == TaskResult("n1", "workload : Run the pods", TaskStatus.UNREACHABLE, "ssh: timed out")


def test_the_recap_counts_every_node_also_one_that_was_never_reached() -> None:
    stats = {"ok": {"n1": 7}, "changed": {"n1": 2}, "failures": {}, "dark": {"n2": 1}, "processed": {"n1": 1, "n2": 1}}
    assert read({"event": "playbook_on_stats", "event_data": stats}) == (
        NodeRecap("n1", ok=7, changed=2, failed=0, unreachable=0),
        NodeRecap("n2", ok=0, changed=0, failed=0, unreachable=1),
    )


def test_what_is_of_no_interest_is_nothing() -> None:
    assert read({"event": "verbose", "stdout": "x"}) is None
    assert read({"event": "playbook_on_start"}) is None
