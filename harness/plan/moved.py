"""What becomes of pods whose node cannot be used any more: never moved without a word."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.model.plan import Plan
from harness.plan.words import first_few, some


def taken_over(before: Plan | None, after: Plan, lost: Collection[str]) -> Mapping[str, str]:
    """For each of the ``lost`` nodes that had pods: where they are from now on, in words.

    Kubernetes evicts pods of such a node after five minutes (``tolerationSeconds``); here somebody asked for the plan
    to be carried out without it, so others have to run them. What runs on the lost node goes on there unseen.
    """
    now = {pod.key: pod.node for pod in after.pods}
    found = {}
    for name in lost:
        had = sorted(pod.key for pod in before.pods if pod.node == name) if before else []
        if had:
            moved = [f"{key} to {now[key]}" for key in had if key in now]
            gone = len(had) - len(moved)
            others = [f"others take over {first_few(moved)}"] if moved else []
            others += [f"{some(gone, 'pod')} not wanted any more"] if gone else []
            found[name] = f"of the {some(len(had), 'pod')} of {name}, {', '.join(others)}; on {name} they may run on"
    return found
