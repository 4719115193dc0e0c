"""Pods, and Deployments and ReplicaSets, which are pods of one template."""

from __future__ import annotations

from collections.abc import Mapping

from harness.manifests import fields, names
from harness.manifests.document import quoted
from harness.manifests.meta import Meta
from harness.manifests.reader import Reader
from harness.model.workload import (
    Container,
    ContainerPort,
    LabelSelector,
    Operator,
    Pod,
    PodSpec,
    Protocol,
    ReplicaSet,
    Requirement,
)

_MAX_GRACE = 2**31 - 1
_IN_CONTAINER = dict.fromkeys(("image", "ports", "command", "args", "env"), "a container: spec.containers[]")


def read_pod(top: Reader, meta: Meta) -> Pod | None:
    """A Pod; ``None`` when its spec is not there."""
    spec = top.mapping("spec", required=True)
    if spec is None:
        return None
    return Pod(meta.namespace, meta.name, meta.labels, read_pod_spec(spec), meta.source)


def read_replica_set(kind: str, top: Reader, meta: Meta) -> ReplicaSet | None:
    """A Deployment or ReplicaSet; ``None`` when so much is missing that nothing can be made of it."""
    spec = top.mapping("spec", required=True)
    if spec is None:
        return None
    known = fields.DEPLOYMENT_SPEC if kind == "Deployment" else fields.REPLICA_SET_SPEC
    spec.only(known, dict.fromkeys(fields.POD_SPEC, "spec.template.spec"))
    selector = _selector(spec)
    labels, template = _template(spec)
    if selector is None or template is None:
        return None
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            found = f"the template has {key}={labels[key]}" if key in labels else "the template has no such label"
            spec.fault("selector", f"{key}={value} does not match the template: {found}", "they must be the same")
    wrong = [requirement for requirement in selector.match_expressions if not holds(requirement, labels)]
    for requirement in wrong:
        spec.fault("selector", f"{requirement.key} {requirement.operator} … does not match the template's labels")
    replicas = spec.integer("replicas", 0, 100_000)
    return ReplicaSet(
        kind, meta.namespace, meta.name, 1 if replicas is None else replicas, selector, labels, template, meta.source
    )


def holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Whether some labels meet one requirement (LabelSelectorRequirement, core/v1)."""
    value = labels.get(requirement.key)
    return {
        Operator.IN: value is not None and value in requirement.values,
        Operator.NOT_IN: value is None or value not in requirement.values,
        Operator.EXISTS: value is not None,
        Operator.DOES_NOT_EXIST: value is None,
    }[requirement.operator]


def _selector(spec: Reader) -> LabelSelector | None:
    selector = spec.mapping("selector", required=True)
    if selector is None:
        return None
    selector.only(fields.LABEL_SELECTOR, dict.fromkeys(selector.fields, "selector.matchLabels"))
    requirements = []
    for entry in selector.mappings("matchExpressions"):
        entry.only(fields.REQUIREMENT)
        operator = entry.choice("operator", tuple(Operator), "")
        key, values = entry.text("key", required=True), entry.strings("values")
        needs_values = operator in (Operator.IN, Operator.NOT_IN)
        if operator and needs_values != bool(values):
            entry.fault("values", f"{operator} wants {'at least one value' if needs_values else 'no values'}")
        elif operator and key:
            requirements.append(Requirement(key, Operator(operator), values))
    labels = selector.string_map("matchLabels", names.label_pair)
    if not labels and not requirements and not selector.fields:
        spec.fault("selector", "is empty; it would select every pod")
    return LabelSelector(labels, tuple(requirements))


def _template(spec: Reader) -> tuple[Mapping[str, str], PodSpec | None]:
    template = spec.mapping("template", required=True)
    if template is None:
        return {}, None
    template.only(fields.POD_TEMPLATE, {"labels": "template.metadata", "containers": "template.spec"})
    meta = template.mapping("metadata")
    labels: Mapping[str, str] = {}
    if meta is not None:
        meta.only(fields.META)
        labels = meta.string_map("labels", names.label_pair)
        meta.string_map("annotations", names.annotation_pair)
    inner = template.mapping("spec", required=True)
    return labels, read_pod_spec(inner, template=True) if inner is not None else None


def read_pod_spec(spec: Reader, *, template: bool = False) -> PodSpec:
    """A PodSpec; of a template, whose pods are always restarted."""
    spec.only(fields.POD_SPEC, _IN_CONTAINER)
    restart = spec.choice("restartPolicy", ("Always", "OnFailure", "Never"), "Always")
    if template and restart != "Always":
        spec.fault("restartPolicy", f"{quoted(restart)} is not allowed in a template", "only Always is")
    if spec.boolean("hostNetwork"):
        spec.fault("hostNetwork", "is not supported yet: a pod has its own address here", "remove it")
    containers = tuple(_container(reader) for reader in spec.mappings("containers", required=True))
    _unique(spec, "containers", "name", [container.name for container in containers])
    ports = [port for container in containers for port in container.ports]
    _unique(spec, "containers", "port name", [port.name for port in ports])
    grace = spec.integer("terminationGracePeriodSeconds", 0, _MAX_GRACE)
    return PodSpec(containers, 30 if grace is None else grace)


def _container(reader: Reader) -> Container:
    reader.only(fields.CONTAINER, {"containerPort": "ports[]", "labels": "metadata"})
    return Container(
        name=reader.text("name", required=True, check=names.label),
        image=reader.text("image"),
        command=reader.strings("command"),
        args=reader.strings("args"),
        ports=tuple(port for entry in reader.mappings("ports") if (port := _port(entry)) is not None),
    )


def _port(entry: Reader) -> ContainerPort | None:
    entry.only(fields.CONTAINER_PORT, dict.fromkeys(("port", "targetPort", "nodePort"), "a Service"))
    if not entry.has("containerPort"):
        entry.fault("", "containerPort is missing")
    number = entry.integer("containerPort", 1, 65535)
    if entry.has("hostPort"):
        entry.fault("hostPort", "is not supported: nodePorts are what is proven here", "remove it, or use a Service")
    protocol = entry.choice("protocol", tuple(Protocol), Protocol.TCP)
    name = entry.text("name", check=names.port_name)
    return None if number is None else ContainerPort(number, Protocol(protocol), name)


def _unique(reader: Reader, field: str, what: str, values: list[str]) -> None:
    for value in sorted({value for value in values if value and values.count(value) > 1}):
        reader.fault(field, f"the {what} {quoted(value)} is there {values.count(value)} times")
