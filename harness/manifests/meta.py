"""What every object says of itself: kind, name, namespace, labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.manifests import fields, names
from harness.manifests.reader import Reader
from harness.model.workload import Source

DEFAULT_NAMESPACE = "default"
_ELSEWHERE = dict.fromkeys(("selector", "ports", "type", "replicas", "containers", "template"), "spec")


@dataclass(frozen=True, slots=True)
class Meta:
    """``ObjectMeta``, as far as it matters here, and where the object was written."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    source: Source


def read_meta(top: Reader, check: Callable[[str], str], *, namespaced: bool = True) -> Meta | None:
    """The metadata of an object whose name follows ``check``; ``None`` when it has no usable name."""
    source = Source(top.faults.file, top.node.line)
    meta = top.mapping("metadata", required=True)
    if meta is None:
        return None
    meta.only(fields.META, _ELSEWHERE)
    if meta.has("generateName") and not meta.has("name"):
        meta.fault("generateName", "is not supported: what is proven needs a name that stays", "use name")
        return None
    name = meta.text("name", required=True, check=check)
    namespace = meta.text("namespace", check=names.label) or DEFAULT_NAMESPACE
    if not namespaced and meta.has("namespace"):
        meta.fault("namespace", "this kind does not live in a namespace", "remove it")
    labels = meta.string_map("labels", names.label_pair)
    meta.string_map("annotations", names.annotation_pair)
    return Meta(name, namespace, labels, source) if name else None
