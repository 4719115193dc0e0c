"""Kubernetes YAML text to the typed model; every fault at once, with file:line and field path.

Strict: a field that Kubernetes does not know is a fault, and so is one that would change what NodePort traffic does
and is not carried out here. Nothing is dropped in silence: kinds that are not acted on are listed as ignored.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import Fault, ManifestError
from harness.manifests import fields, names, pods, rules, services
from harness.manifests.document import Broken, Node, documents, quoted
from harness.manifests.meta import read_meta
from harness.manifests.reader import Faults, Reader
from harness.model.workload import Ignored, Pod, ReplicaSet, Service, Source, Workload

__all__ = ["parse"]

Thing = TypeVar("Thing")


@dataclass(slots=True)
class _Found:
    """Objects so far."""

    pods: list[Pod] = field(default_factory=list)
    replica_sets: list[ReplicaSet] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)


def parse(sources: Sequence[tuple[str, bytes]]) -> Workload:
    """What a set of manifests asks for; ``sources`` are pairs of a file's name, as it is shown, and its content.

    Raises :class:`ManifestError` with every fault of every file.
    """
    found, faults = _Found(), []
    for file, data in sources:
        noted = Faults(file)
        try:
            for document in documents(file, data):
                _read_object(document, noted, found)
        except Broken as broken:
            noted.found.append(broken.fault)
        faults += noted.found
    workload = Workload(
        tuple(found.pods),
        tuple(found.replica_sets),
        tuple(found.services),
        tuple(found.namespaces),
        tuple(found.ignored),
    )
    faults += rules.across(workload)
    if not faults and not (found.pods or found.replica_sets or found.services or found.namespaces or found.ignored):
        faults = [Fault(file, 1, "", "there is no object in it") for file, _ in sources]
    if faults:
        raise ManifestError(list(dict.fromkeys(faults)))
    return workload


def _read_object(document: Node, noted: Faults, found: _Found) -> None:
    if document.tag != "map":
        noted.add(
            document.line, "", f"a document must be a mapping, this one is {quoted(document.text or document.tag)}"
        )
        return
    top = Reader.of(document, "", noted)
    kind = top.text("kind", required=True)
    if not kind or not _known_kind(top, kind):
        return
    if kind == "List":
        top.only({"apiVersion", "kind", "metadata", "items"})
        for item in top.mappings("items"):
            _read_object(item.node, noted, found)
    elif kind in fields.OTHER_KINDS:
        found.ignored.append(_ignored(kind, top))
    else:
        _read_known(kind, top, found)


def _known_kind(top: Reader, kind: str) -> bool:
    known = fields.KINDS.keys() | fields.OTHER_KINDS
    if kind not in known:
        nearest = difflib.get_close_matches(kind, known, n=1, cutoff=0.6)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(fields.KINDS)}"
        top.fault("kind", f"there is no kind {quoted(kind)}", hint)
        return False
    version = top.text("apiVersion", required=True)
    wanted = fields.KINDS.get(kind, version)
    if version and version != wanted:
        top.fault("apiVersion", f"{quoted(version)} has no {kind}", f"write {wanted}")
    return True


def _ignored(kind: str, top: Reader) -> Ignored:
    meta = top.mapping("metadata")
    name = meta.text("name") if meta else ""
    namespace = (meta.text("namespace") if meta else "") or "default"
    source = Source(top.faults.file, top.node.line)
    return Ignored(kind, namespace, name, f"{kind} objects are not acted on", source)


def _read_known(kind: str, top: Reader, found: _Found) -> None:
    top.only(fields.TOP, _below_top(top))
    check = names.label if kind in ("Service", "Namespace") else names.subdomain
    meta = read_meta(top, check, namespaced=kind != "Namespace")
    if meta is None:
        return
    if kind == "Namespace":
        found.namespaces.append(meta.name)
    elif kind == "Pod":
        found.pods += _made(pods.read_pod(top, meta))
    elif kind == "Service":
        found.services += _made(services.read_service(top, meta))
    else:
        found.replica_sets += _made(pods.read_replica_set(kind, top, meta))


def _below_top(top: Reader) -> dict[str, str]:
    return {name: ("metadata" if name in fields.META else "spec") for name in top.fields}


def _made(thing: Thing | None) -> Iterator[Thing]:
    if thing is not None:
        yield thing
