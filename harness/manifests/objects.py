"""One document to the objects in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.manifests import names, schema
from harness.manifests.endpoint_slice import read_endpoint_slice
from harness.manifests.faults import Faults, quoted
from harness.manifests.hints import meant, nearest
from harness.manifests.kinds import IGNORED, KINDS, versions
from harness.manifests.meta import DEFAULT_NAMESPACE, Meta, read_meta
from harness.manifests.nodes import Node
from harness.manifests.pod import read_pod
from harness.manifests.reader import Reader
from harness.manifests.replica_set import read_replica_set
from harness.manifests.rules import Claim, Identity
from harness.manifests.service import read_service
from harness.model.workload import EndpointSlice, Ignored, Pod, ReplicaSet, Service, Source

_LIST_FIELDS = ("apiVersion", "kind", "metadata", "items")


@dataclass(slots=True)
class Objects:
    """Objects so far, and what rules across objects need to know of them."""

    pods: list[Pod] = field(default_factory=list)
    replica_sets: list[ReplicaSet] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    endpoint_slices: list[EndpointSlice] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    identities: list[Identity] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def read(self, document: Node, noted: Faults) -> None:
        """Add what a document says; faults are noted."""
        if document.tag != "map":
            what = "a list" if document.tag == "seq" else quoted(document.text)
            hint = meant(document.text) if document.tag == "str" else "it begins with apiVersion: and kind:"
            noted.add(document.line, "", f"an object of Kubernetes is a mapping, this is {what}", hint)
            return
        top = Reader(document, "", document.line, noted)
        kind = _kind(top)
        if kind == "List":
            self._list(top)
        elif kind in IGNORED:
            self.ignored.append(_ignored(kind, top))
        elif kind in KINDS:
            self._known(kind, top)

    def _list(self, top: Reader) -> None:
        for name in top.node.fields:
            if name not in _LIST_FIELDS:
                top.fault(name, "unknown field", f"a List has {', '.join(_LIST_FIELDS)}")
        items = top.node.fields.get("items")
        if items is None or items.tag != "seq":
            top.fault("items", "must be a list of objects", "each begins with '- apiVersion:'")
            return
        for item in items.items:
            self.read(item, top.faults)

    def _known(self, kind: str, top: Reader) -> None:
        schema.check(top.node, kind, top.faults)
        meta = read_meta(top, names.label if kind in ("Service", "Namespace") else names.subdomain)
        namespace = "" if kind == "Namespace" else meta.namespace
        identity = Identity(kind, namespace, meta.name, Source(meta.source.file, meta.name_line))
        if meta.name:
            self.identities.append(identity)
        if kind == "Namespace":
            if top.mapping("metadata").text("namespace"):
                top.mapping("metadata").fault("namespace", "a Namespace is in no namespace itself", "remove it")
            self.namespaces.append(meta.name)
        elif kind == "Pod":
            self.pods.append(read_pod(top, meta))
        elif kind == "EndpointSlice":
            self.endpoint_slices.append(read_endpoint_slice(top, meta))
        elif kind == "Service":
            self._service(top, meta, identity)
        else:
            self.replica_sets.append(read_replica_set(kind, top, meta))

    def _service(self, top: Reader, meta: Meta, identity: Identity) -> None:
        service = read_service(top, meta)
        if isinstance(service, Ignored):
            self.ignored.append(service)
            return
        self.services.append(service)
        readers = top.mapping("spec").mappings("ports")
        for reader, port in zip(readers, service.ports, strict=True):
            if port.node_port is not None:
                source = Source(meta.source.file, reader.node.line_of("nodePort"))
                self.claims.append(Claim(port.node_port, identity, f"{reader.path}.nodePort", source))


def _kind(top: Reader) -> str:
    """The kind, when there is such a kind of that apiVersion; else empty, and a fault noted."""
    kind, version = top.text("kind"), top.text("apiVersion")
    for name, value, example in (("apiVersion", version, "such as v1"), ("kind", kind, "such as Service")):
        if not value:
            shown = "must be a string" if top.has(name) else "is missing"
            top.fault(name, shown, example)
    if not kind:
        return ""
    known = KINDS.keys() | IGNORED.keys()
    if kind not in known:
        near = nearest(kind, known)
        others = f"acted on are {', '.join(KINDS)}; a custom resource has no place here"
        top.fault("kind", f"there is no kind {quoted(kind)} in Kubernetes", f"did you mean {near}?" if near else others)
        return ""
    if version and version not in versions(kind):
        top.fault("apiVersion", f"{quoted(version)} has no {kind}", f"write {versions(kind)[0]}")
        return ""
    return kind if version else ""


def _ignored(kind: str, top: Reader) -> Ignored:
    """What is not acted on is not checked either, beyond its YAML."""
    meta = top.mapping("metadata")
    source = Source(top.faults.file, top.line)
    return Ignored(kind, meta.text("namespace") or DEFAULT_NAMESPACE, meta.text("name"), IGNORED[kind][1], source)
