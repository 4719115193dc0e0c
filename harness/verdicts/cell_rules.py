"""Causes between one node and one pod, and what remains."""

from __future__ import annotations

from harness.model.observation import NodeFacts
from harness.verdicts.controls import Direct
from harness.verdicts.expectations import Expected
from harness.verdicts.finding import Finding, drops, lacks_route, told
from harness.verdicts.nodestate import since
from harness.verdicts.shape import Kind, Mode, Shape, Symptom, View
from harness.verdicts.stats import log_binomial

BROKEN = (Direct.REFUSED, Direct.SILENT, Direct.HANGS, Direct.BAD)


def broken_tunnels(shape: Shape) -> list[Finding]:
    """Nodes that are cut off from all other nodes' pods, both ways, where these meet over a tunnel."""
    found = []
    for node in shape.nodes:
        facts = shape.facts.get(node)
        pods = [endpoint for endpoint in shape.endpoints if endpoint.node == node]
        others = [endpoint for endpoint in shape.endpoints if endpoint.node != node]
        if facts is None or not facts.tunnel or not (facts.network_drift or _cut_off(shape, node, pods, others)):
            continue
        claimed = shape.claim([Kind.SILENT], what={pod.pod for pod in pods})
        claimed += shape.claim([Kind.SILENT], node=node, what={pod.pod for pod in others})
        if claimed:
            altered = f" (to mend it: {'; '.join(facts.network_drift[:3])})" if facts.network_drift else drops(facts)
            notes = tuple(told(shape, node, pod) for pod in others[:1])
            found.append(Finding("tunnel-broken", node, tuple(claimed), other=altered, directs=notes))
    return found


def _cut_off(shape: Shape, node: str, pods: list[Expected], others: list[Expected]) -> bool:
    rest = [other for other in shape.nodes if other != node]
    if not pods or not others or len(rest) < 2:
        return False
    into = all(shape.direct(other, pod) is Direct.SILENT for other in rest for pod in pods)
    return into and all(shape.direct(node, pod) is Direct.SILENT for pod in others)


def broken_paths(shape: Shape) -> list[Finding]:
    """Nodes whose pods nobody else reaches, not even directly, though they do themselves."""
    found = []
    for node in shape.nodes:
        pods = [endpoint for endpoint in shape.endpoints if endpoint.node == node]
        others = [other for other in shape.nodes if other != node]
        silent = all(shape.direct(other, pod) is Direct.SILENT for other in others for pod in pods)
        if not pods or len(others) < 2 or not silent:
            continue
        keys = {pod.pod for pod in pods}
        claimed = shape.claim([Kind.SILENT], what=keys)
        if claimed:
            notes = (told(shape, others[0], pods[0]), told(shape, node, pods[0]))
            cause, other = _path(shape.facts.get(node))
            found.append(Finding(cause, node, tuple(claimed), other=other, directs=notes))
    return found


def _path(facts: NodeFacts | None) -> tuple[str, str]:
    """Why nobody else reaches a node's pods, as far as the node itself can say; what it quotes."""
    if facts is not None and facts.reachable and not facts.ip_forward:
        return "ip-forward", ""
    forward = drops(facts, ("forward",))
    return ("forward-drop", forward) if forward else ("path-broken", drops(facts))


def lost_routes(shape: Shape) -> list[Finding]:
    """Pairs of nodes without a route, by what a node says of itself, or because it reaches none of several pods."""
    found = []
    for node in shape.nodes:
        for home in [other for other in shape.nodes if other != node]:
            pods = [endpoint for endpoint in shape.endpoints if endpoint.node == home]
            if not pods:
                continue
            route = lacks_route(shape.facts.get(node), pods[0])
            all_silent = len(pods) > 1 and all(shape.direct(node, pod) is Direct.SILENT for pod in pods)
            if not route and not all_silent:
                continue
            keys = {pod.pod for pod in pods}
            claimed = shape.claim([Kind.SILENT], node=node, what=keys)
            if claimed:
                other = f" (missing: {route})" if route else drops(shape.facts.get(node))
                found.append(
                    Finding("route-missing", node, tuple(claimed), pods[0], other, (told(shape, node, pods[0]),))
                )
    return found


def single_cells(shape: Shape) -> list[Finding]:
    """One pod through one node: left out, black-holed, unreachable or at a wrong address."""
    found = []
    by_pod = {endpoint.pod: endpoint for endpoint in shape.endpoints}
    for node in shape.nodes:
        pods = list(dict.fromkeys(each.what for each in shape.of_kind(Kind.SILENT, node)))
        for pod in pods:
            claimed = shape.claim([Kind.SILENT], node=node, what=[pod])
            found.append(_single(shape, node, by_pod[pod], claimed, len(pods)))
    return found


def _single(shape: Shape, node: str, endpoint: Expected, claimed: list[Symptom], unexplained: int) -> Finding:
    direct = shape.direct(node, endpoint)
    first = min(claimed, key=lambda each: each.view.itself).view
    modes = {each.view.mode for each in claimed}
    said = shape.unready(node, endpoint.pod)
    notes = (told(shape, node, endpoint),) if direct is not Direct.UNKNOWN else ()
    if said is not None and Mode.LATE not in modes and shape.unready(endpoint.node, endpoint.pod) is None:
        other = f"{said.why} ({since(said)})" + drops(shape.facts.get(node))
        return Finding("endpoint-held-back", node, tuple(claimed), endpoint, other, notes)
    if Mode.LATE in modes:
        cause = "endpoint-blackholed"
    elif _never_tried(first, unexplained):
        cause = "endpoint-left-out"
    elif direct in BROKEN:
        cause = "backend-unreachable"
    else:
        cause = "stale-rule"
    other = drops(shape.facts.get(node)) if cause == "endpoint-blackholed" else ""
    return Finding(cause, node, tuple(claimed), endpoint, other, notes)


def _never_tried(view: View, unexplained: int) -> bool:
    """Whether the silent pods that are not explained yet were never picked, rather than picked and lost.

    Failures of the pods that *are* explained are in the same cell: their share tells. Of k pods, a explained and s
    not, a / (k - s) of the attempts fail when the s are left out of the rules, and (a + s) / k when they are in.
    """
    pods, explained = len(view.cell.endpoints), max(0, len(view.silent) - unexplained)
    failed, n = view.counts.failed, view.counts.n
    left_out = log_binomial(failed, n, explained / max(1, pods - unexplained))
    tried = log_binomial(failed, n, (explained + unexplained) / pods)
    return left_out > tried


def strangers(shape: Shape) -> list[Finding]:
    """Others who answer through a node, and were not found on any pod's port."""
    found = []
    for node in shape.nodes:
        names = sorted({each.what for each in shape.of_kind(Kind.STRANGER, node)})
        if names:
            claimed = shape.claim([Kind.STRANGER, Kind.SHARE, Kind.SILENT], node=node)
            found.append(Finding("misrouted", node, tuple(claimed), other=", ".join(names)))
    return found


def weights(shape: Shape) -> list[Finding]:
    """Pods with a wrong share, node by node."""
    found = []
    by_pod = {endpoint.pod: endpoint for endpoint in shape.endpoints}
    for node in shape.nodes:
        pods: dict[str, str] = {}
        for each in shape.of_kind(Kind.SHARE, node):
            pods.setdefault(each.what, _share(each))
        for pod, share in pods.items():
            claimed = shape.claim([Kind.SHARE], node=node, what=[pod])
            found.append(Finding("endpoint-weight", node, tuple(claimed), by_pod.get(pod), share))
    return found


def _share(symptom: Symptom) -> str:
    counts = symptom.view.counts
    others = [hits for pod, hits in counts.answers.items() if pod != symptom.what]
    mean = sum(others) / len(others) if others else 0.0
    ratio = counts.answers.get(symptom.what, 0) / mean if mean else 0.0
    return "double weight" if ratio > 1.0 else "half weight"


def refusals(shape: Shape) -> list[Finding]:
    """NodePorts without endpoints that are answered, or that swallow."""
    found = []
    for node in shape.nodes:
        claimed = shape.claim([Kind.REFUSAL], node=node)
        names = sorted({name for each in claimed for name in each.view.counts.wrong})
        if names:
            found.append(Finding("unexpected-answer", node, tuple(claimed), other=", ".join(names)))
        elif claimed:
            found.append(Finding("black-hole", node, tuple(claimed), other=drops(shape.facts.get(node))))
    return found


_UNKEPT = {Kind.ASTRAY: "affinity-broken", Kind.HEARD: "not-dropped", Kind.HIDDEN: "source-hidden"}


def unkept_policies(shape: Shape) -> list[Finding]:
    """Clients that do not stick to a pod or are hidden from it, and nodePorts heard where they should stay silent."""
    found = []
    for node in shape.nodes:
        for kind, cause in _UNKEPT.items():
            claimed = shape.claim([kind], node=node)
            counts = [each.view.counts for each in claimed]
            names = {name for each in counts for name in (*each.answers, *each.wrong)}
            if kind is Kind.HIDDEN:
                names = {address for each in counts for address in each.sources}
            if claimed:
                found.append(Finding(cause, node, tuple(claimed), other=", ".join(sorted(names)) or "nobody"))
        opened = shape.claim([Kind.OPEN], node=node)
        if opened:
            found.append(Finding("address-open", node, tuple(opened), other=_places(opened)))
    return found


def dead_addresses(shape: Shape) -> list[Finding]:
    """Further addresses of a node where nothing is answered, though the node answers at its own one."""
    found = []
    for node in shape.nodes:
        rows = [view for view in shape.views if view.cell.node == node]
        alive = any(view.counts.answered for view in rows if not view.cell.at)
        dead = {str(view.cell) for view in rows if view.cell.at and view.dead} if alive else set()
        claimed = [each for each in shape.pending if str(each.view.cell) in dead and each.kind is not Kind.OPEN]
        shape.pending = [each for each in shape.pending if each not in claimed]
        if claimed:
            found.append(Finding("address-dead", node, tuple(claimed), other=_places(claimed)))
    return found


def _places(symptoms: list[Symptom]) -> str:
    return ", ".join(dict.fromkeys(each.view.cell.key.target.address for each in symptoms))


def losses(shape: Shape) -> list[Finding]:
    """What is left: failures of pods that are all alive, and what fits nothing."""
    found = []
    for node in shape.nodes:
        lost = shape.claim([Kind.LOSS], node=node)
        if lost:
            found.append(Finding("packet-loss", node, tuple(lost), other=drops(shape.facts.get(node))))
        rest = shape.claim(node=node)
        if rest:
            found.append(Finding("unexplained", node, tuple(rest)))
    return found
