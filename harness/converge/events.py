"""ansible-runner's events as values. Pure.

``changed`` is taken from events, never from what Ansible prints: the default callback's text is not an
interface (it differs by callback plugin and version).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.model.convergence import NodeRecap, TaskResult, TaskStatus
from harness.model.progress import TaskStarted

_ENDINGS = {
    "runner_on_ok": TaskStatus.OK,
    "runner_on_skipped": TaskStatus.SKIPPED,
    "runner_on_failed": TaskStatus.FAILED,
    "runner_on_unreachable": TaskStatus.UNREACHABLE,
}

_SAYS = "ansible.builtin.debug"
"""The action of tasks with which a role says something to a person."""


def read(event: Mapping[str, Any]) -> TaskStarted | TaskResult | tuple[NodeRecap, ...] | None:
    """One event as a value: a task begun, a task ended on a node, the recap of all nodes, or nothing of interest."""
    kind = event.get("event", "")
    data: Mapping[str, Any] = event.get("event_data") or {}
    if kind == "playbook_on_task_start":
        return TaskStarted(str(data.get("task", "")))
    if kind == "playbook_on_stats":
        return _recaps(data)
    if kind in _ENDINGS and not data.get("ignore_errors"):
        return _result(_ENDINGS[kind], data)
    return None


def _result(status: TaskStatus, data: Mapping[str, Any]) -> TaskResult:
    answer: Mapping[str, Any] = data.get("res") or {}
    if status is TaskStatus.OK and answer.get("changed"):
        status = TaskStatus.CHANGED
    failed = status in (TaskStatus.FAILED, TaskStatus.UNREACHABLE)
    told = str(answer.get("msg", "")) if data.get("task_action") == _SAYS else ""
    return TaskResult(
        node=str(data.get("host", "")),
        task=str(data.get("task", "")),
        status=status,
        message=_message(answer) if failed else told,
    )


def _message(answer: Mapping[str, Any]) -> str:
    """What a person needs of a failed module's answer: its message, its items' messages, and what was printed."""
    items = answer.get("results") or []
    parts = [f"{item.get('item', '')}: {_message(item)}" for item in items if item.get("failed")]
    for key in ("msg", "stderr", "module_stderr", "reason"):
        value = answer.get(key)
        text = "; ".join(map(str, value)) if isinstance(value, list) else str(value or "")
        if text.strip() and text.strip() not in parts:
            parts.append(text.strip())
    return "\n".join(parts) or "no message"


def _recaps(data: Mapping[str, Any]) -> tuple[NodeRecap, ...]:
    counts = ("ok", "changed", "failures", "dark")
    names = sorted({name for count in (*counts, "skipped", "processed") for name in data.get(count) or {}})
    return tuple(
        NodeRecap(
            node=name,
            ok=int((data.get("ok") or {}).get(name, 0)),
            changed=int((data.get("changed") or {}).get(name, 0)),
            failed=int((data.get("failures") or {}).get(name, 0)),
            unreachable=int((data.get("dark") or {}).get(name, 0)),
        )
        for name in names
    )
