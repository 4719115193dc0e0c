"""Causes in a whole node: its row is dead, or it forwards nothing, or its forwarder is not what it should be."""

from __future__ import annotations

from harness.model.forwarder import FORWARDERS
from harness.model.observation import OUTSIDE
from harness.verdicts.controls import Direct
from harness.verdicts.finding import Finding, drops
from harness.verdicts.nodestate import held
from harness.verdicts.shape import Kind, Mode, Shape

OF_RULES = (Mode.REFUSED, Mode.NONE)
"""Ways of failing that wrong rules cause by themselves; losing packets is not one."""


def connections_full(shape: Shape) -> list[Finding]:
    """Nodes that say that they have no room for more connections: all that is new is lost there."""
    found = []
    for node, facts in shape.facts.items():
        if not facts.reachable or not facts.connections.full:
            continue
        pods = {endpoint.pod for endpoint in shape.endpoints if endpoint.node == node}
        lost = [Kind.SILENT, Kind.LOSS]
        claimed = shape.claim(lost, node=node) + shape.claim(lost, vantage=node) + shape.claim([Kind.SILENT], what=pods)
        claimed += shape.claim([Kind.LOSS]) if pods else []  # every node forwards some of its connections there
        found += [Finding("connections-full", node, tuple(claimed), other=held(facts.connections))] if claimed else []
    return found


def nodes_down(shape: Shape) -> list[Finding]:
    """Nodes that SSH does not reach either, with all that is lost to them and their pods."""
    found = []
    for node in shape.nodes:
        if node not in shape.unreachable:
            continue
        pods = {endpoint.pod for endpoint in shape.endpoints if endpoint.node == node}
        view = shape.ingress(node)
        if view is None or not view.dead or view.mode is Mode.REFUSED:
            continue
        claimed = shape.claim(node=node) + shape.claim(what=pods)
        if claimed:
            found.append(Finding("node-down", node, tuple(claimed), other=view.cell.key.target.address))
    return found


def outside_path(shape: Shape) -> list[Finding]:
    """The outside client alone reaches nothing."""
    outside = [view for view in shape.views if view.cell.vantage == OUTSIDE]
    between = [view for view in shape.views if view.cell.vantage != OUTSIDE and not view.itself]
    if not outside or not between or not all(view.dead and view.mode is Mode.SILENT for view in outside):
        return []
    if any(view.dead for view in between):
        return []
    claimed = shape.claim(vantage=OUTSIDE)
    return [Finding("outside-path", "", tuple(claimed))] if claimed else []


def forwarders_at_fault(shape: Shape) -> list[Finding]:
    """Nodes whose rules are wrong and whose nodeportd is down, in error or behind."""
    found = []
    for node in shape.nodes:
        cause, other = _forwarder(shape, node)
        if cause:
            claimed = shape.claim([Kind.SILENT], node=node, modes=OF_RULES)
            claimed += shape.claim([Kind.STRANGER, Kind.SHARE, Kind.REFUSAL], node=node)
            found += [Finding(cause, node, tuple(claimed), other=other)] if claimed else []
    return found


def _forwarder(shape: Shape, node: str) -> tuple[str, str]:
    facts = shape.facts.get(node)
    if facts is None or not facts.reachable:
        return "", ""
    if not facts.forwarder_running:
        return "forwarder-down", ""
    behind = shape.generation is not None and facts.generation != shape.generation
    if behind or facts.forwarder_error:
        has = "no generation" if facts.generation is None else f"generation {facts.generation}"
        wanted = f"{has} in place of {shape.generation}" if behind else "it could not apply its state"
        return "forwarder-stale", wanted + (f": {facts.forwarder_error}" if facts.forwarder_error else "")
    return "", ""


def dead_rows(shape: Shape) -> list[Finding]:
    """Nodes through which nobody gets an answer."""
    found = []
    for node in shape.nodes:
        view = shape.ingress(node)
        if view is None or not view.dead or not shape.silent_at(node):
            continue
        accepts = _accepts(shape, node)
        if view.mode is Mode.REFUSED:
            finding: Finding | None = _refusing(shape, node)
        else:
            finding = _not_serving(shape, node, view.mode) if accepts else _swallowing(shape, node)
        found += [finding] if finding is not None else []
    return found


def _refusing(shape: Shape, node: str) -> Finding:
    """The node itself refuses (its pods were asked directly and were not at fault)."""
    facts, itself = shape.facts.get(node), shape.itself(node)
    only_from_outside = itself is not None and not itself.dead
    cause, other = "rule-missing", ""
    if facts is not None and facts.reachable and not facts.table_present:
        cause = FORWARDERS[facts.backend].gone
    elif only_from_outside:
        other = ", though its own connections work, so only its prerouting rules are at fault"
        other += drops(facts, ("reject",))
    claimed = shape.claim(node=node)
    return Finding(cause, node, tuple(claimed), other=other)


def _swallowing(shape: Shape, node: str) -> Finding | None:
    """The node's row meets silence, while the node itself gets answers, or is not able to say."""
    facts, itself = shape.facts.get(node), shape.itself(node)
    known = facts is not None and facts.reachable
    if itself is not None and itself.dead:
        return None
    own = {endpoint.pod for endpoint in shape.endpoints if endpoint.node == node}
    column = own & {pod for view in shape.elsewhere(node) for pod in view.silent}
    if facts is not None and known and not facts.ip_forward:
        return _whole(shape, node, "ip-forward", own)
    if column or (not own and drops(facts, ("forward",))):
        return _whole(shape, node, "forward-drop", own, drops(facts))
    if not own and facts is not None and known and not facts.masquerade_present:
        return _whole(shape, node, "masquerade-missing", set(), " (and none is)")
    return _whole(shape, node, "pre-dnat-drop", set(), drops(facts))


def _accepts(shape: Shape, node: str) -> bool:
    """Whether the node's forwarder accepts connections itself, and even those of the node get no answer."""
    facts, itself = shape.facts.get(node), shape.itself(node)
    known = facts is not None and facts.reachable and FORWARDERS[facts.backend].accepts
    return known and (itself is None or itself.dead)


def _not_serving(shape: Shape, node: str, mode: Mode) -> Finding:
    """Nobody gets an answer of a forwarder that accepts connections itself, though pods asked directly answer."""
    cause = "relay-stuck" if mode is Mode.HANGS else "input-drop"
    other = drops(shape.facts.get(node), ("input", "prerouting"))
    return Finding(cause, node, tuple(shape.claim(node=node)), other=other)


def _whole(shape: Shape, node: str, cause: str, column: set[str], other: str = "") -> Finding:
    """A finding that explains the node's row, and the column of its pods."""
    claimed = shape.claim_forwarded(node) + shape.claim([Kind.SILENT], what=column)
    return Finding(cause, node, tuple(claimed), other=other)


def unmasked(shape: Shape) -> list[Finding]:
    """Nodes through which only their own pods answer, while they reach the others' pods directly."""
    found = []
    for node in shape.nodes:
        view, silent = shape.ingress(node), set(shape.silent_at(node))
        remote = [endpoint for endpoint in shape.endpoints if endpoint.node != node]
        if view is None or view.dead or not remote or silent != {endpoint.pod for endpoint in remote}:
            continue
        facts, itself = shape.facts.get(node), shape.itself(node)
        proven = facts is not None and facts.reachable and not facts.masquerade_present
        direct = all(shape.direct(node, endpoint) in (Direct.OK, Direct.UNKNOWN) for endpoint in remote)
        fits = view.mode is Mode.SILENT and direct and (itself is None or not itself.silent)
        if proven or fits:
            claimed = shape.claim_forwarded(node)
            seen = f"; its own pods saw the client as {', '.join(sorted(view.counts.sources))}"
            found.append(Finding("masquerade-missing", node, tuple(claimed), other=seen if view.counts.sources else ""))
    return found
