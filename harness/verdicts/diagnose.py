"""From the shape of an outage to its causes, after the table in the literature of outage matrices.

Rows are the nodes that are asked, columns the nodes of the pods. Rules are tried from the widest cause to the
narrowest, and each claims the symptoms that it explains, so that two faults at once give two diagnoses and
nothing is told twice: a dead node before a dead pod, a dead pod before a dead row, a dead row before a single cell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from harness.model.address import IPFamily, with_port
from harness.model.observation import Attempt, NodeFacts, pod_of
from harness.model.verdict import Diagnosis, Status, Verdict
from harness.verdicts import cell_rules, inside_rules, node_rules, pod_rules
from harness.verdicts.case import outcomes
from harness.verdicts.causes import CAUSES
from harness.verdicts.controls import sort_directs
from harness.verdicts.expectations import Cell
from harness.verdicts.finding import Finding
from harness.verdicts.nodestate import CHECK, faults_of
from harness.verdicts.shape import Shape, View, inside_symptoms, shapes
from harness.verdicts.tally import Tallies

RULES: tuple[Callable[[Shape], list[Finding]], ...] = (
    node_rules.connections_full,
    node_rules.nodes_down,
    node_rules.outside_path,
    cell_rules.dead_addresses,
    pod_rules.pods_at_fault,
    node_rules.forwarders_at_fault,
    node_rules.dead_rows,
    cell_rules.broken_tunnels,
    cell_rules.broken_paths,
    cell_rules.lost_routes,
    node_rules.unmasked,
    cell_rules.strangers,
    cell_rules.single_cells,
    cell_rules.weights,
    cell_rules.refusals,
    cell_rules.unkept_policies,
    cell_rules.losses,
)
"""In this order; a new cause is a new rule here and its words in ``causes``."""

SWALLOWS = frozenset({"node-down", "pre-dnat-drop"})
"""Causes that explain silence on every nodePort of a node."""

_OF_FAMILY = {
    IPFamily.V4: {"table": "ip nodeport", "forwarding": "net.ipv4.ip_forward"},
    IPFamily.V6: {"table": "ip6 nodeport", "forwarding": "net.ipv6.conf.all.forwarding"},
}
"""What causes call the things of a family."""

SHOWN = 4
"""Cells quoted together in a diagnosis, and different findings quoted; the others are counted."""


def diagnose(
    cells: Sequence[Cell],
    tallies: Tallies,
    verdicts: Sequence[Verdict],
    facts: Sequence[NodeFacts] = (),
    controls: Iterable[Attempt] = (),
    *,
    generation: int | None = None,
) -> tuple[Diagnosis, ...]:
    """The most likely causes of what failed, the one that explains most first; none when nothing failed.

    ``controls`` are the attempts made for ``verdicts.controls``. The same cause for several Service ports is one
    diagnosis. Verdicts that are INCONCLUSIVE are not diagnosed: they were not seen twice.
    """
    found: list[Finding] = []
    for shape in shapes(cells, tallies, verdicts, facts, sort_directs(cells, controls), generation):
        for rule in RULES:
            found += rule(shape)
    found = _without_echoes(found)
    found += inside_rules.explain(inside_symptoms(cells, tallies, verdicts), found)
    groups: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in found:
        groups.setdefault(finding.key, []).append(finding)
    ordered = sorted(groups.values(), key=lambda group: -sum(len(finding.symptoms) for finding in group))
    probed = [_told(group) for group in ordered]
    return (*probed, *_of_facts(facts, tallies, verdicts, found, generation))


def _without_echoes(found: list[Finding]) -> list[Finding]:
    """Leave out nodePorts without endpoints that are silent on a node which swallows everything anyway."""
    swallowing = {(finding.node, finding.family) for finding in found if finding.cause in SWALLOWS}
    return [
        finding
        for finding in found
        if not (finding.cause == "black-hole" and (finding.node, finding.family) in swallowing)
    ]


def _told(group: list[Finding]) -> Diagnosis:
    first = group[0]
    views = list({str(symptom.view.cell): symptom.view for finding in group for symptom in finding.symptoms}.values())
    ports = list(dict.fromkeys(f"{view.cell.nodeport} ({view.cell.service})" for view in views))
    directs = list(dict.fromkeys(note for finding in group for note in finding.directs))
    seen = _seen(views, first) + (f"; {'; '.join(directs)}" if directs else "")
    return _diagnosis(first, seen, ", ".join(ports))


def _diagnosis(finding: Finding, seen: str, ports: str) -> Diagnosis:
    endpoint, cause = finding.endpoint, CAUSES[finding.cause]
    places = {
        "node": finding.node,
        "pod": endpoint.pod if endpoint else "",
        "name": endpoint.pod.partition("/")[2] if endpoint else "",
        "unit": hashlib.sha256(endpoint.pod.encode()).hexdigest()[:8] if endpoint else "",
        "home": endpoint.node if endpoint else finding.node,
        "host": endpoint.address if endpoint else "",
        "address": with_port(endpoint.address, endpoint.port) if endpoint else "",
        "ports": ports,
        "other": finding.other,
    }
    places |= _OF_FAMILY[finding.family]
    means, look, remedy = (part.format(**places) for part in (cause.means, cause.look, cause.remedy))
    text = f"Seen: {seen}. {means} To see it: {look}. What to do: {remedy}"
    pod = "" if finding.cause == "route-missing" else places["pod"]
    title = cause.title.format(**places) + (" (IPv6)" if finding.family is IPFamily.V6 else "")
    return Diagnosis(finding.cause, title, text, finding.node, pod)


def _seen(views: list[View], finding: Finding) -> str:
    """What was seen in the cells, those that saw the same told together; cells that answered at all come first."""
    alike: dict[tuple[str, str], list[str]] = {}
    for view in sorted(views, key=lambda view: view.dead):
        cell = view.cell
        where = f"{cell.service} {cell.port} on {cell.nodeport}"
        at = "" if cell.family is IPFamily.V4 else f" ({cell.family})"
        alike.setdefault((where, _line(view, finding)), []).append(f"{cell.vantage} → {cell.node}{at}")
    told = [f"{_some(arrows)} ({where}): {line}" for (where, line), arrows in alike.items()]
    return "; ".join(told[:SHOWN]) + (f"; and {len(told) - SHOWN} findings more" if len(told) > SHOWN else "")


def _some(arrows: list[str]) -> str:
    more = f" and {len(arrows) - SHOWN} cells more" if len(arrows) > SHOWN else ""
    return ", ".join(arrows[:SHOWN]) + more


def _line(view: View, finding: Finding) -> str:
    counts, endpoint = view.counts, finding.endpoint
    line = f"{counts.answered} of {counts.n} attempts answered"
    wrong = [f"{times} by {name}" for name, times in counts.wrong.items()]
    if counts.bad:
        line += f" ({', '.join([*filter(None, [outcomes(counts)]), *wrong])})"
    if view.dead or finding.cause == "route-missing":
        return line
    if endpoint is not None and view.cell.endpoints:
        return f"{line}, {counts.answers.get(endpoint.pod, 0)} of them by {endpoint.pod}"
    silent = ", ".join(sorted(view.silent))
    return f"{line}, none of them by {silent}" if silent else line


def _of_facts(
    facts: Sequence[NodeFacts],
    tallies: Tallies,
    verdicts: Sequence[Verdict],
    found: Sequence[Finding],
    generation: int | None,
) -> list[Diagnosis]:
    """What nodes say of themselves and no diagnosis names yet, and nodes whose SSH alone is lost."""
    named = {finding.node for finding in found} | {each.endpoint.node for each in found if each.endpoint is not None}
    of_nodes = {vantage: why for vantage, why in tallies.lost.items() if not pod_of(vantage)}
    lost = of_nodes | {node.node: node.error for node in facts if not node.reachable}
    failed = {verdict.node for verdict in verdicts if verdict.check == CHECK and verdict.status is Status.FAIL}
    gone = [
        _diagnosis(Finding("ssh-lost", node, ()), why or "no answer", "")
        for node, why in lost.items()
        if node not in named
    ]
    explained = {(symptom.what, finding.family) for finding in found for symptom in finding.symptoms}
    said = [_of_node(each, explained, generation) for each in facts if each.node in failed - named]
    return gone + [each for each in said if each is not None]


def _of_node(facts: NodeFacts, explained: Collection[tuple[str, IPFamily]], generation: int | None) -> Diagnosis | None:
    """What a node says of itself; that it does not use a pod is told already when the pod's silence is explained."""
    left = tuple(each for each in facts.unready if (each.pod, each.family) not in explained)
    faults = faults_of(replace(facts, unready=left), generation) + list(facts.drift)
    if not faults:
        return None
    cause = "node-state" if facts.forwarder_running else "forwarder-down"
    return _diagnosis(Finding(cause, facts.node, (), other=faults[0]), f"{facts.node} says: {'; '.join(faults)}", "")
