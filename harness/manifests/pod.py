"""Pods, and the pod template of a Deployment or ReplicaSet."""

from __future__ import annotations

from collections.abc import Sequence

from harness.manifests import names
from harness.manifests.faults import quoted
from harness.manifests.meta import Meta
from harness.manifests.probe import read_probe
from harness.manifests.reader import Reader
from harness.model.workload import Container, ContainerPort, Pod, PodSpec, Probe, Protocol, RestartPolicy

_PORTS = (1, 65535)
_NOT_YET = {
    "readinessGates": "is not supported yet: pods are ready when they answer",
    "schedulingGates": "is not supported yet: pods are placed at once",
    "activeDeadlineSeconds": "is not supported yet: pods run until they are removed",
}


def read_pod(top: Reader, meta: Meta) -> Pod:
    """A Pod."""
    top.require("spec")
    return Pod(meta.namespace, meta.name, meta.labels, read_pod_spec(top.mapping("spec")), meta.source)


def read_template_spec(spec: Reader) -> PodSpec:
    """The PodSpec of a template, whose pods are always restarted (apps/v1)."""
    restart = spec.text("restartPolicy")
    if restart in ("OnFailure", "Never"):
        spec.fault("restartPolicy", f"{restart} is not allowed in a template", "write Always, or remove it")
    return read_pod_spec(spec)


def read_pod_spec(spec: Reader) -> PodSpec:
    """A PodSpec (core/v1): what does not concern traffic is accepted and not carried out."""
    restart = RestartPolicy(spec.choice("restartPolicy", tuple(RestartPolicy), RestartPolicy.ALWAYS))
    if spec.true("hostNetwork"):
        spec.fault("hostNetwork", "is not supported yet: a pod has its own address here", "remove it")
    for name, why in _NOT_YET.items():
        if spec.has(name):
            spec.fault(name, why, "remove it")
    readers = spec.mappings("containers")
    if spec.empty("containers"):
        spec.fault("containers", "must have at least one entry")
    containers = tuple(_container(reader) for reader in readers)
    beside = spec.mappings("initContainers")
    for reader in beside:
        _beside(reader)
    _unique((*readers, *beside), "name", "container")
    _unique([port for reader in readers for port in reader.mappings("ports")], "name", "port")
    grace = spec.integer("terminationGracePeriodSeconds", 0, 2**63 - 1)
    grace = 30 if grace is None else grace
    return PodSpec(containers, grace, _readiness(readers, containers), restart, _memory_limit(readers))


def _memory_limit(readers: Sequence[Reader]) -> int | None:
    """What all containers together may take, in bytes; ``None`` when one of them may take any amount."""
    limits = [reader.mapping("resources").mapping("limits").quantity("memory") for reader in readers]
    known = [limit for limit in limits if limit]
    return sum(known) if known and len(known) == len(limits) else None


def _readiness(readers: Sequence[Reader], containers: Sequence[Container]) -> Probe | None:
    """The readinessProbe of the one container that has one."""
    first: Reader | None = None
    found = None
    for reader, container in zip(readers, containers, strict=True):
        probe = read_probe(reader, container.ports)
        if reader.has("readinessProbe") and first is not None:
            where = f"the first one is in line {first.node.line_of('readinessProbe')}; keep one"
            reader.fault("readinessProbe", "is not supported yet beside that of another container", where)
        elif reader.has("readinessProbe"):
            first, found = reader, probe
    return found


def _container(reader: Reader) -> Container:
    reader.require("name")
    reader.require("image", "it is recorded and shown; the built-in responder runs instead")
    reader.text("name", names.label)
    return Container(
        name=reader.text("name"),
        image=reader.text("image"),
        command=reader.strings("command"),
        args=reader.strings("args"),
        ports=tuple(port for entry in reader.mappings("ports") if (port := _port(entry)) is not None),
    )


def _beside(reader: Reader) -> None:
    """An init container or sidecar: not run, so it must not serve."""
    reader.text("name", names.label)
    if reader.mappings("ports"):
        reader.fault("ports", "is not supported yet: sidecars do not serve", "move the container to containers")


def _port(entry: Reader) -> ContainerPort | None:
    if entry.integer("hostPort"):
        entry.fault("hostPort", "is not supported yet: nodePorts are what is proven", "remove it, or use a Service")
    number = entry.integer("containerPort", *_PORTS)
    protocol = read_protocol(entry)
    name = entry.text("name", names.port_name)
    return None if number is None else ContainerPort(number, protocol, name)


def read_protocol(entry: Reader) -> Protocol:
    """The protocol of a container's or a Service's port."""
    if entry.text("protocol") == "SCTP":
        entry.fault("protocol", "SCTP is not supported yet", "use TCP or UDP")
        return Protocol.TCP
    return Protocol(entry.choice("protocol", tuple(Protocol), Protocol.TCP))


def _unique(readers: Sequence[Reader], field: str, what: str) -> None:
    first: dict[str, Reader] = {}
    for reader in readers:
        value = reader.text(field)
        holder = first.setdefault(value, reader) if value else reader
        if holder is not reader:
            where = f"first in line {holder.node.line_of(field)}, at {holder.path}"
            reader.fault(field, f"the {what} name {quoted(value)} is there twice", where)
