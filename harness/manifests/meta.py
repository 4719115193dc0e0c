"""What every object says of itself: name, namespace, labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.manifests import names
from harness.manifests.reader import Reader
from harness.model.workload import Source

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Meta:
    """``ObjectMeta``, as far as it matters here; where the object begins, and the line of its name."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    source: Source
    name_line: int


def read_meta(top: Reader, check: Callable[[str], str]) -> Meta:
    """The metadata of an object whose name follows ``check``; the name is empty when there is none."""
    meta = top.mapping("metadata")
    if not top.has("metadata"):
        top.fault("metadata", "is missing", "write metadata: with a name: below it")
    elif meta.has("generateName") and not meta.has("name"):
        meta.fault("generateName", "is not supported: what is proven needs a name that stays", "use name")
    else:
        meta.require("name")
    name = meta.text("name", check)
    namespace = meta.text("namespace", names.label) or DEFAULT_NAMESPACE
    labels = read_labels(meta)
    line = meta.node.line_of("name") if meta.has("name") else meta.line
    return Meta(name, namespace, labels, Source(top.faults.file, top.line), line)


def read_labels(meta: Reader) -> dict[str, str]:
    """The labels of some metadata; its annotations are checked too."""
    meta.string_map("annotations", names.annotation_pair)
    return meta.string_map("labels", names.label_pair)
