"""The ports of a Service: each for itself, and what holds among them (core validation, portallocator)."""

from __future__ import annotations

from dataclasses import dataclass

from harness.manifests import names
from harness.manifests.faults import quoted
from harness.manifests.pod import read_protocol
from harness.manifests.reader import Reader
from harness.model.workload import Protocol, ServicePort

NODE_PORTS = range(30000, 32768)
"""kube-apiserver's default --service-node-port-range."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry, as far as it could be read."""

    reader: Reader
    name: str
    port: int | None
    protocol: Protocol
    node_port: int | None


def read_ports(spec: Reader, kind: str) -> tuple[ServicePort, ...]:
    """The ports of a Service of a type; ExternalName alone needs none."""
    readers = spec.mappings("ports")
    if kind != "ExternalName" and spec.text("clusterIP") != "None":
        spec.require("ports", "a Service needs at least one port")
        if spec.empty("ports"):
            spec.fault("ports", "must have at least one entry")
    entries = [
        _Entry(
            reader=reader,
            name=reader.text("name", names.label),
            port=reader.integer("port", 1, 65535),
            protocol=read_protocol(reader),
            node_port=_node_port(reader, kind),
        )
        for reader in readers
    ]
    _names(entries)
    _twice(entries)
    _shared(entries)
    return tuple(_made(entry) for entry in entries)


def _made(entry: _Entry) -> ServicePort:
    """The port; a number that was refused is 0, in a workload that is never handed over."""
    port = entry.port or 0
    target = _target_port(entry.reader)
    if entry.reader.text("appProtocol"):
        entry.reader.text("appProtocol", names.label_key)
    return ServicePort(port, target or port, entry.protocol, entry.name, entry.node_port)


def _target_port(reader: Reader) -> int | str | None:
    text = reader.text("targetPort")
    if text.isdigit():
        reader.fault("targetPort", f"{quoted(text)} is a string, and as such the name of a port", "remove the quotes")
        return None
    return reader.text("targetPort", names.port_name) or reader.integer("targetPort", 1, 65535)


def _node_port(reader: Reader, kind: str) -> int | None:
    number = reader.integer("nodePort", -(2**31))
    if not number:
        return None
    if kind == "ClusterIP":
        reader.fault("nodePort", "may not be used when type is ClusterIP, the default", "write type: NodePort in spec")
        return None
    if number not in NODE_PORTS:
        reason = f"{number} is not in the valid range {NODE_PORTS[0]}-{NODE_PORTS[-1]}"
        reader.fault("nodePort", reason, "choose one of these, or leave it out and a free one is taken")
        return None
    return number


def _names(entries: list[_Entry]) -> None:
    first: dict[str, _Entry] = {}
    for entry in entries:
        if not entry.name and len(entries) > 1:
            if not entry.reader.has("name") or entry.reader.node.fields["name"].tag == "str":
                entry.reader.fault("name", "is missing", "with several ports, each needs a name")
            continue
        holder = first.setdefault(entry.name, entry)
        if holder is not entry:
            reason = f"the port name {quoted(entry.name)} is there twice"
            entry.reader.fault("name", reason, f"first in line {holder.reader.node.line_of('name')}")


def _twice(entries: list[_Entry]) -> None:
    first: dict[tuple[int, Protocol], _Entry] = {}
    for entry in entries:
        if entry.port is None:
            continue
        holder = first.setdefault((entry.port, entry.protocol), entry)
        if holder is not entry:
            where = f"first in line {holder.reader.node.line_of('port')}"
            entry.reader.fault("port", f"{entry.port}/{entry.protocol} is there twice", where)


def _shared(entries: list[_Entry]) -> None:
    """Two entries share a nodePort only with one port number and two protocols."""
    first: dict[int, _Entry] = {}
    for entry in entries:
        if entry.node_port is None:
            continue
        holder = first.setdefault(entry.node_port, entry)
        if holder is entry:
            continue
        where = f"first in line {holder.reader.node.line_of('nodePort')}"
        if holder.protocol is entry.protocol:
            entry.reader.fault("nodePort", f"{entry.node_port}/{entry.protocol} is there twice", where)
        elif holder.port != entry.port:
            reason = f"{entry.node_port} is there twice, for different port numbers"
            entry.reader.fault("nodePort", reason, where)
