"""What Ansible did: per node, and task by task as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TaskStatus(StrEnum):
    """What became of one task on one node."""

    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task on one node; ``message`` is what a person needs when it failed, or what a role says."""

    node: str
    task: str
    status: TaskStatus
    message: str = ""


@dataclass(frozen=True, slots=True)
class NodeRecap:
    """Ansible's own recap of one node: numbers of tasks."""

    node: str
    ok: int
    changed: int
    failed: int
    unreachable: int


@dataclass(frozen=True, slots=True)
class Convergence:
    """One playbook run: a recap of every node, the tasks that changed something, those that failed, what roles said."""

    recaps: tuple[NodeRecap, ...] = ()
    changed: tuple[TaskResult, ...] = ()
    failed: tuple[TaskResult, ...] = ()
    seconds: float = 0.0
    said: tuple[str, ...] = ()
