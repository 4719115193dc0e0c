"""Deployments and ReplicaSets (apps/v1): so many pods of one template."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.manifests import names
from harness.manifests.faults import quoted
from harness.manifests.hints import one_of
from harness.manifests.meta import Meta, read_labels
from harness.manifests.pod import read_template_spec
from harness.manifests.reader import Reader
from harness.model.workload import LabelSelector, Operator, ReplicaSet, Requirement, Strategy, StrategyType

_DEADLINE = 600
"""``progressDeadlineSeconds`` by default."""
_PERCENT = re.compile(r"[0-9]{1,4}%")
_SAME = "selector and spec.template.metadata.labels must agree"


def read_replica_set(kind: str, top: Reader, meta: Meta) -> ReplicaSet:
    """A Deployment or ReplicaSet."""
    top.require("spec")
    spec = top.mapping("spec")
    spec.require("template")
    template = spec.mapping("template")
    template.require("spec")
    labels = read_labels(template.mapping("metadata"))
    selector = _selector(spec, labels if template.there else None)
    min_ready = spec.integer("minReadySeconds") or 0
    strategy = _rollout(spec) if kind == "Deployment" else Strategy()
    replicas = spec.integer("replicas")
    return ReplicaSet(
        kind=kind,
        namespace=meta.namespace,
        name=meta.name,
        replicas=1 if replicas is None else replicas,
        selector=selector,
        template_labels=labels,
        template=read_template_spec(template.mapping("spec")),
        source=meta.source,
        strategy=strategy,
        min_ready_seconds=min_ready,
    )


def _selector(spec: Reader, labels: Mapping[str, str] | None) -> LabelSelector:
    """A selector, which must match the labels of the template, if there is one (apps validation)."""
    selector = spec.mapping("selector")
    match_labels = selector.string_map("matchLabels", names.label_pair)
    for key, value in match_labels.items():
        if labels is not None and labels.get(key) != value and not names.label_pair(key, value):
            found = f"the template has {quoted(labels[key])}" if key in labels else "the template has no such label"
            selector.mapping("matchLabels").fault(key, f"{quoted(value)} does not match the template: {found}", _SAME)
    requirements = tuple(
        requirement
        for entry in selector.mappings("matchExpressions")
        if (requirement := _requirement(entry, labels)) is not None
    )
    if spec.has("selector") and not match_labels and not requirements and not selector.node.fields:
        spec.fault("selector", "is empty; it would select every pod", "write matchLabels: below it")
    return LabelSelector(match_labels, requirements)


def _requirement(entry: Reader, labels: Mapping[str, str] | None) -> Requirement | None:
    entry.require("key")
    entry.require("operator")
    key, values = entry.text("key", names.label_key), entry.strings("values")
    operator = entry.text("operator")
    if operator and operator not in tuple(Operator):
        entry.fault("operator", f"there is no {quoted(operator)}", one_of(operator, tuple(Operator)))
        return None
    if not operator or not key:
        return None
    requirement = Requirement(key, Operator(operator), values)
    needs_values = requirement.operator in (Operator.IN, Operator.NOT_IN)
    if needs_values != bool(values):
        entry.fault("values", f"{operator} needs {'at least one value' if needs_values else 'no values'}")
    for value in values:
        if wrong := names.label_value(value):
            entry.fault("values", wrong)
    if labels is not None and needs_values == bool(values) and not holds(requirement, labels):
        entry.fault("key", f"{quoted(key)} {operator} {', '.join(values)}".rstrip() + " does not match", _SAME)
    return requirement


def holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Whether some labels meet one requirement (LabelSelectorRequirement, apimachinery)."""
    value = labels.get(requirement.key)
    return {
        Operator.IN: value is not None and value in requirement.values,
        Operator.NOT_IN: value is None or value not in requirement.values,
        Operator.EXISTS: value is not None,
        Operator.DOES_NOT_EXIST: value is None,
    }[requirement.operator]


def _rollout(spec: Reader) -> Strategy:
    """How a Deployment is rolled out."""
    if spec.true("paused"):
        spec.fault("paused", "is not supported yet: a paused Deployment makes no pods", "remove it")
    spec.integer("revisionHistoryLimit")
    ready, deadline = spec.integer("minReadySeconds") or 0, spec.integer("progressDeadlineSeconds")
    if ready >= (_DEADLINE if deadline is None else deadline):
        name = "minReadySeconds" if deadline is None else "progressDeadlineSeconds"
        spec.fault(name, f"progressDeadlineSeconds (by default {_DEADLINE}) must be greater than minReadySeconds")
    strategy = spec.mapping("strategy")
    rolling = strategy.mapping("rollingUpdate")
    if strategy.choice("type", ("RollingUpdate", "Recreate"), "RollingUpdate") == "Recreate":
        if strategy.has("rollingUpdate"):
            strategy.fault("rollingUpdate", "may not be used when type is Recreate", "remove it")
        return Strategy(StrategyType.RECREATE)
    if all(_is_zero(rolling, name) for name in ("maxSurge", "maxUnavailable")):
        rolling.fault("maxUnavailable", "may not be 0 when maxSurge is 0")
    return Strategy(max_surge=_share(rolling, "maxSurge"), max_unavailable=_share(rolling, "maxUnavailable"))


def _share(rolling: Reader, name: str) -> str:
    """So many pods, or a percentage of the replicas (apps validation: ValidatePositiveIntOrPercent)."""
    number = rolling.integer(name)
    if number is not None:
        return str(number)
    text = rolling.text(name)
    if text and not _PERCENT.fullmatch(text):
        rolling.fault(name, f"{quoted(text)} is neither a number nor a percentage", "write 1 or 25%")
    elif name == "maxUnavailable" and text and int(text[:-1]) > 100:
        rolling.fault(name, "must not be greater than 100%")
    return text or "25%"


def _is_zero(rolling: Reader, name: str) -> bool:
    return rolling.has(name) and rolling.node.fields[name].text in ("0", "0%")
