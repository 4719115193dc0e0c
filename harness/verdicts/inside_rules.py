"""Causes inside the cluster: of what pods meet, and of Services' own addresses.

They are looked for last. What a cause already found explains (a dead pod is dead for pods as well) is not told again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.model.observation import pod_of
from harness.verdicts.expectations import Way
from harness.verdicts.finding import Finding
from harness.verdicts.shape import Kind, Symptom

WHOLE_NODE = frozenset({
    "node-down", "forwarder-down", "forwarder-stale", "ruleset-flushed", "pre-dnat-drop", "forward-drop", "ip-forward",
    "masquerade-missing", "pod-network-down", "path-broken", "route-missing",
    "tunnel-broken", "connections-full",
})  # fmt: skip
"""Causes that break every Service on a node, and what its pods ask."""

UNKEPT = {Kind.ASTRAY: "affinity-broken", Kind.HEARD: "not-dropped", Kind.HIDDEN: "source-hidden",
          Kind.HUDDLED: "clients-huddled", Kind.UNHEALTHY: "health-check-wrong"}  # fmt: skip


def explain(symptoms: Sequence[Symptom], found: Sequence[Finding]) -> list[Finding]:
    """Findings for what ``found`` does not explain, each symptom in one."""
    pending = [each for each in symptoms if not any(_echo(each, finding) for finding in found)]
    findings: list[Finding] = []
    for rule in (_large, _hairpin, _cut_off, _policies, _addresses, _ingress):
        told = rule(pending)
        claimed = {symptom.id for finding in told for symptom in finding.symptoms}
        pending = [each for each in pending if each.id not in claimed]
        findings += told
    return findings


def _echo(symptom: Symptom, finding: Finding) -> bool:
    """Whether a finding about the plain cells explains a symptom inside."""
    cell = symptom.view.cell
    if finding.symptoms and finding.family is not cell.family:
        return False
    homes = {endpoint.node for endpoint in cell.endpoints if endpoint.pod in symptom.view.silent}
    if finding.endpoint is not None and finding.cause not in WHOLE_NODE:
        same = symptom.what == finding.endpoint.pod or symptom.what in finding.other.split(", ")
        return same or symptom.kind is Kind.LOSS
    involved = finding.node in {cell.node, cell.home, *homes}
    same_service = any(each.view.cell.service == cell.service for each in finding.symptoms)
    return involved and (finding.cause in WHOLE_NODE or same_service)


def _by(symptoms: Iterable[Symptom], key: Callable[[Symptom], str]) -> list[tuple[str, tuple[Symptom, ...]]]:
    groups: dict[str, list[Symptom]] = {}
    for symptom in symptoms:
        groups.setdefault(key(symptom), []).append(symptom)
    return [(name, tuple(group)) for name, group in groups.items()]


def _large(pending: Sequence[Symptom]) -> list[Finding]:
    """Nodes through which large requests alone do not get."""
    large = [each for each in pending if each.view.cell.way is Way.LARGE]
    findings = []
    for node, group in _by(large, lambda each: each.view.cell.node):
        homes = {end.node for each in group for end in each.view.cell.endpoints if end.pod in each.view.silent}
        findings.append(Finding("large-lost", node, group, other=", ".join(sorted(homes)) or "some"))
    return findings


def _hairpin(pending: Sequence[Symptom]) -> list[Finding]:
    """Pods that alone are silent for themselves; of a Service's one pod, if all that it asks itself is lost."""
    silent = [each for each in pending if each.kind is Kind.SILENT]
    own = [each for each in silent if each.what == pod_of(each.view.cell.vantage)]
    others = {str(each.view.cell) for each in silent if each not in own}
    alone = [each for each in own if str(each.view.cell) not in others]
    findings = []
    for pod, group in _by(alone, lambda each: each.what):
        (endpoint,) = [end for end in group[0].view.cell.endpoints if end.pod == pod]
        findings.append(Finding("hairpin-broken", endpoint.node, group, endpoint))
    return findings


def _cut_off(pending: Sequence[Symptom]) -> list[Finding]:
    """Nodes whose pods get no answer at all, whatever they ask."""
    findings = []
    of_pods = [each for each in pending if pod_of(each.view.cell.vantage)]
    for home, group in _by(of_pods, lambda each: each.view.cell.home):
        cells = {str(each.view.cell): each.view for each in group}
        at_home = any(view.cell.node == home for view in cells.values())
        if all(view.dead for view in cells.values()) and at_home and len(cells) > 1:
            pods = sorted({pod_of(view.cell.vantage) for view in cells.values()})
            findings.append(Finding("pods-cut-off", home, group, other=", ".join(pods)))
    return findings


def _policies(pending: Sequence[Symptom]) -> list[Finding]:
    """Promises of a policy that are not kept."""
    unkept = [each for each in pending if each.kind in UNKEPT]
    findings = []
    for (node, cause), group in _grouped(unkept, lambda each: (each.view.cell.node, UNKEPT[each.kind])):
        counts = [each.view.counts for each in group]
        names = {name for each in counts for name in (*each.answers, *each.wrong)}
        if cause == "source-hidden":
            names = {address for each in counts for address in each.sources}
        if cause == "health-check-wrong":
            right = {end.pod for each in group for end in each.view.cell.endpoints}
            names = {f"should be {', '.join(sorted(right))}", *(name for each in counts for name in each.wrong)}
        findings.append(Finding(cause, node, group, other=", ".join(sorted(names)) or "nobody"))
    return findings


def _grouped(
    symptoms: Iterable[Symptom], key: Callable[[Symptom], tuple[str, str]]
) -> list[tuple[tuple[str, str], tuple[Symptom, ...]]]:
    groups: dict[tuple[str, str], list[Symptom]] = {}
    for symptom in symptoms:
        groups.setdefault(key(symptom), []).append(symptom)
    return [(name, tuple(group)) for name, group in groups.items()]


def _addresses(pending: Sequence[Symptom]) -> list[Finding]:
    """Services' own addresses that a node does not lead where it should."""
    own = [each for each in pending if each.view.cell.way is not Way.NODE_PORT]
    findings = []
    for node, group in _by(own, lambda each: each.view.cell.node):
        strangers = sorted({name for each in group for name in each.view.counts.wrong})
        other = f"; {', '.join(strangers)} answered" if strangers else ""
        findings.append(Finding("cluster-ip-broken", node, group, other=other))
    return findings


def _ingress(pending: Sequence[Symptom]) -> list[Finding]:
    """NodePorts that do not work for pods alone; and what is left of anything."""
    return [
        Finding("pod-ingress-broken" if home else "clients-shut-out", node, group, other=home)
        for (node, home), group in _grouped(pending, lambda each: (each.view.cell.node, each.view.cell.home))
    ]
