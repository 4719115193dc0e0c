"""Causes in a pod itself: what its own node sees when it asks the pod directly decides."""

from __future__ import annotations

from harness.verdicts.controls import Direct, target_of
from harness.verdicts.expectations import Expected
from harness.verdicts.finding import Finding, told
from harness.verdicts.nodestate import since
from harness.verdicts.shape import Kind, Mode, Shape

BY_DIRECT = {
    Direct.REFUSED: "endpoint-dead",
    Direct.HANGS: "app-hangs",
    Direct.BAD: "bad-answer",
    Direct.SILENT: "endpoint-unreachable",
}

BY_MODE = {
    Mode.REFUSED: "endpoint-dead",
    Mode.HANGS: "app-hangs",
    Mode.BAD: "bad-answer",
    Mode.SILENT: "endpoint-unreachable",
}
"""The same without control probes, from the way in which a whole column fails."""


def pods_at_fault(shape: Shape) -> list[Finding]:
    """Pods that do not do their part, whoever asks."""
    found = _pod_networks(shape)
    for endpoint in shape.endpoints:
        found += _foreign(shape, endpoint) or _broken(shape, endpoint) or _not_ready(shape, endpoint)
    return found


def _pod_networks(shape: Shape) -> list[Finding]:
    """Nodes that do not reach any of their own pods, where there are several."""
    found = []
    for node in shape.nodes:
        pods = [endpoint for endpoint in shape.endpoints if endpoint.node == node]
        silent = [pod for pod in pods if shape.direct(node, pod) is Direct.SILENT]
        if len(pods) > 1 and silent == pods:
            keys = {pod.pod for pod in pods}
            claimed = shape.claim([Kind.SILENT], what=keys)
            if claimed:
                notes = tuple(told(shape, node, pod) for pod in pods)
                found.append(Finding("pod-network-down", node, tuple(claimed), directs=notes))
    return found


def _foreign(shape: Shape, endpoint: Expected) -> list[Finding]:
    target = target_of(endpoint, shape.views[0].cell)
    strangers = {
        name for (_, asked), counts in shape.directs.items() if asked == target for name in counts.wrong if counts.wrong
    }
    if not strangers:
        return []
    claimed = shape.claim([Kind.STRANGER], what=strangers)
    claimed += shape.claim([Kind.SILENT, Kind.SHARE], what=[endpoint.pod])
    if not claimed:
        return []
    name = ", ".join(sorted(strangers))
    notes = _notes(shape, endpoint)
    return [Finding("foreign-responder", endpoint.node, tuple(claimed), endpoint, name, notes)]


def _broken(shape: Shape, endpoint: Expected) -> list[Finding]:
    asked = shape.direct(endpoint.node, endpoint)
    cause = BY_DIRECT.get(asked, "") if asked is not Direct.UNKNOWN else _by_column(shape, endpoint)
    if not cause or endpoint.node in shape.unreachable:
        return []
    claimed = shape.claim([Kind.SILENT], what=[endpoint.pod])
    if not claimed:
        return []
    facts = shape.facts.get(endpoint.node)
    down = facts is not None and any(endpoint.pod in pod or _name(endpoint) in pod for pod in facts.pods_not_running)
    other = f" ({endpoint.node} says that it does not run)" if down else ""
    return [Finding(cause, endpoint.node, tuple(claimed), endpoint, other, _notes(shape, endpoint))]


def _not_ready(shape: Shape, endpoint: Expected) -> list[Finding]:
    """A pod that serves, but is not ready by its own node's checks: no node uses it."""
    said = shape.unready(endpoint.node, endpoint.pod)
    if said is None or shape.direct(endpoint.node, endpoint) not in (Direct.OK, Direct.UNKNOWN):
        return []
    holding = [node for node in shape.nodes if shape.unready(node, endpoint.pod) is not None]
    claimed = [each for node in holding for each in shape.claim([Kind.SILENT], node=node, what=[endpoint.pod])]
    other = f"{said.why} ({since(said)}; held for unready by {', '.join(holding)})"
    return (
        [Finding("endpoint-unready", endpoint.node, tuple(claimed), endpoint, other, _notes(shape, endpoint))]
        if claimed
        else []
    )


def _by_column(shape: Shape, endpoint: Expected) -> str:
    """Without an answer from the pod's own node: other nodes' direct probes, or else the whole column, must agree."""
    asked = {shape.direct(node, endpoint) for node in shape.nodes} - {Direct.UNKNOWN}
    if asked:
        return BY_DIRECT.get(next(iter(asked)), "") if len(asked) == 1 else ""
    rows = [view for view in map(shape.ingress, shape.nodes) if view is not None]
    alive = [view for view in rows if not view.dead] or rows
    if all(endpoint.pod in view.silent for view in alive):
        modes = {view.mode for view in alive}
        return BY_MODE.get(next(iter(modes)), "") if len(modes) == 1 else ""
    return ""


def _name(endpoint: Expected) -> str:
    return endpoint.pod.partition("/")[2]


def _notes(shape: Shape, endpoint: Expected) -> tuple[str, ...]:
    asked = [endpoint.node, *(node for node in shape.nodes if node != endpoint.node)]
    return tuple(told(shape, n, endpoint) for n in asked if shape.direct(n, endpoint) is not Direct.UNKNOWN)[:2]
