"""What was probably meant by a field that is unknown where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from functools import lru_cache

from harness.manifests.fields import TYPES

META = ("name", "namespace", "labels", "annotations")
"""Fields that are always meant for metadata."""
_FIELDS = sorted({name for fields in TYPES.values() for name in fields}, key=len, reverse=True)
_FAR = 3
_FEW = 8
_UNLIKELY = ("status", "ephemeralContainers", "initContainers")
_CONFUSED = {
    ("ContainerPort", "port"): "did you mean containerPort?",
    ("ContainerPort", "targetPort"): "a Service has it; here it is containerPort",
    ("ContainerPort", "nodePort"): "it belongs in a Service, in spec.ports[]",
    ("ServicePort", "containerPort"): "a container has it; here it is targetPort",
    ("LabelSelector", "matchLabel"): "did you mean matchLabels?",
}
"""Names that are taken for one another, where the nearest spelling would mislead."""


def nearest(name: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """The known name that is spelt most like this one; empty when none is near."""
    same = [other for other in known if other.lower() == name.lower()]
    found = same or difflib.get_close_matches(name[:80], sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else ""


def one_of(name: str, known: Collection[str]) -> str:
    """A hint for a word that is not among the known ones."""
    near = nearest(name, known, 0.5)
    return f"did you mean {near}?" if near else f"one of {', '.join(known)}"


def unknown(name: str, types: tuple[str, ...], path: str) -> str:
    """The hint for a field that the last of these types, at this path, does not have.

    The types lead down to it from the object's own, one for each part of the path.
    """
    if (types[-1], name) in _CONFUSED:
        return _CONFUSED[types[-1], name]
    known = TYPES[types[-1]]
    near = nearest(name, known)
    if near.lower() == name.lower():
        return f"did you mean {near}?"
    found = _elsewhere(name, types)
    if found is not None:
        up, below = found
        above = path.split(".")[: len(types) - 1 - up]
        return f"it belongs in {'.'.join([*above, *below]) or 'the object itself, beside metadata and spec'}"
    if near:
        return f"did you mean {near}?"
    if types[-1] == "LabelSelector":
        return f"if it is a label, it belongs in {path}.matchLabels"
    return _of_others(name) or (f"known here: {', '.join(sorted(known))}" if len(known) <= _FEW else "")


@lru_cache(maxsize=1000)
def _of_others(name: str) -> str:
    """Which kind has such a field, when this one has not."""
    for kind in ("Deployment", "Pod", "Service"):
        for depth in range(1, _FAR + 1):
            for below in _below(kind, depth, name):
                return f"a {kind} has it, in {'.'.join(below)}"
    return ""


@lru_cache(maxsize=1000)
def _elsewhere(name: str, types: tuple[str, ...]) -> tuple[int, tuple[str, ...]] | None:
    """Where a field of that name is known, nearest first: so many levels up from here, then down along a path."""
    if name in META:
        return next(up for up in range(len(types)) if "metadata" in TYPES[types[-1 - up]]), ("metadata",)
    for far in range(1, _FAR + 1):
        for up in range(min(far, len(types) - 1) + 1):
            for below in _below(types[-1 - up], far - up, name):
                return up, below
    return None


def _below(kind: str, depth: int, name: str) -> Iterator[tuple[str, ...]]:
    """Paths of exactly this depth below a type that end where the field is known."""
    if depth == 0:
        if name in TYPES[kind]:
            yield ()
        return
    for inner, what in TYPES[kind].items():
        if what.of in TYPES and inner not in _UNLIKELY:
            shown = f"{inner}[]" if what.shape == "list" else inner
            for rest in _below(what.of, depth - 1, name):
                yield (shown, *rest)


def meant(bare: str) -> str:
    """``typeNodePort`` was meant to be ``type: NodePort``: the longest known field at the beginning decides."""
    no_space = re.fullmatch(r"(\w+)[:=](\S+)", bare)
    if no_space:
        return f"did you mean `{no_space[1]}: {no_space[2][:40]}`?"
    for name in _FIELDS:
        rest = bare.removeprefix(name)
        if rest != bare and rest and (rest[0].isupper() or rest[0] in " =0123456789"):
            return f"did you mean `{name}: {rest.strip(' =')[:40]}`?"
    return f"did you mean `{bare}:`?" if bare in _FIELDS else "write `name: value`, or `name:` with lines below it"
