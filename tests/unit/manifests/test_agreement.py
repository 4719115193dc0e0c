"""Agreement with the official schema (kubernetes-validate, strict): of fields, and of verdicts on many small variants.

Variants are made from the examples and from manifests rich in fields, by removing, renaming and retyping every field
in turn. What the official schema refuses we refuse, without exception. What it accepts we accept, or the refusal is
one of those that ``STRICTER`` explains: the API's rules, which no schema can say, and what is not supported yet.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate
import pytest
import yaml

from harness import manifests
from harness.errors import ManifestError
from harness.manifests.fields import TYPES
from tests.unit.manifests import official

ROOT = Path(__file__).parents[3]
RICH = ROOT / "tests" / "cases" / "manifests"
FILES = [
    *sorted((ROOT / "examples").glob("*.yaml")),
    *sorted(file for file in RICH.glob("accepted-*/input.yaml") if "traps" not in file.parent.name),
]
KINDS = ("Pod", "Service", "Namespace", "Deployment", "ReplicaSet")

STRICTER = {
    r": is (missing|empty)( \(|$)": "API: required, where the schema asks for less or takes null",
    r"must have at least one entry": "API: at least one container, at least one port",
    r"must be .*, not empty": "null in a list or in labels: nobody means it, and `~` is a trap",
    r"must be (lower-case|at most)|is not a port name|the key '.*' must|the value '.*' must": "API: names and labels",
    r"has \d+ characters": "API: length of names",
    r"is not within|must not be negative|is too large": "API: bounds of numbers",
    r"is no decimal number|is not a whole number": "80.0 is whole to a JSON schema; nobody means it",
    r"is not in the valid range": "API: the range of nodePorts",
    r"there is no '": "API: enumerations, which the schema leaves open",
    r"does not match|is empty; it would select": "API: a selector matches its template",
    r"needs (at least one value|no values)": "API: values of matchExpressions",
    r"may not be used when|may only be used when|is only for type": "API: fields that belong to a type",
    r"is there twice": "API: unique ports and names",
    r"with several ports, each needs a name": "API: names of ports",
    r"is a string, and as such": "API: the name of a port has a letter",
    r"must be the same as clusterIP|is not an IP address": "API: clusterIPs",
    r"is SingleStack, but there are two|is not of family IPv": "API: ipFamilyPolicy (KEP-563)",
    r"must be greater than minReadySeconds|may not be 0 when maxSurge is 0": "API: rolling update",
    r"is neither a number nor a percentage|greater than 100%": "API: shares of a rolling update",
    r"is no quantity": "API: resource.ParseQuantity",
    r"is not allowed in a template": "API: restartPolicy of a template",
    r"readinessProbe: does not say what to ask|only one is allowed": "API: one handler of a probe",
    r"has no TCP port named": "the kubelet would never find the pod ready",
    r"generateName: is not supported": "what is proven needs a name that stays",
    r"is in no namespace itself": "API: a Namespace is not namespaced",
    r"annotations\[.nodeport\.harness/": "our own annotations, which Kubernetes leaves to us",
    r"not supported yet": "would change what NodePort traffic does, and is not carried out",
}
"""What we refuse and the official schema accepts: pattern of our message to the reason."""

VALUES: list[object] = [
    None, True, 0, 7, -1, 80.5, 80.0, 2**40, "", "text", "80", "Local", "Never", "ClusterIP", "x" * 300,
    [], ["text"], [None], {}, {"name": "x"}, {"x": None}, {"app": "x"},
]  # fmt: skip
FEW_VALUES: list[object] = [None, True, 7, "text", [], {"x": None}]
DEEP = 4


@cache
def validator(kind: str) -> Any:
    """What ``kubernetes_validate.validate`` does, but reading its schema of some megabytes only once."""
    group = "apps" if kind in ("Deployment", "ReplicaSet") else "core"
    schema = {"$ref": f"#/$defs/io.k8s.api.{group}.v1.{kind}", "$defs": official.definitions()}
    return jsonschema.Draft202012Validator(schema)


def refused_officially(thing: dict[str, Any]) -> bool:
    return not validator(thing["kind"]).is_valid(thing)


def refusals(thing: dict[str, Any]) -> list[str]:
    """What we say against an object, without file and line."""
    try:
        manifests.parse([("f", json.dumps(thing).encode())])
    except ManifestError as error:
        return [str(fault).partition(": ")[2] for fault in error.faults]
    return []


@cache
def objects() -> list[tuple[str, dict[str, Any]]]:
    """Name and content of every object of a supported kind in ``FILES``, those of a List too."""
    found: list[tuple[str, dict[str, Any]]] = []
    for file in FILES:
        waiting = list(yaml.safe_load_all(file.read_text()))
        for thing in waiting:
            if thing is not None and thing["kind"] == "List":
                waiting += thing["items"]
            elif thing is not None and thing["kind"] in KINDS:
                found.append((f"{file.parent.name}/{file.stem} {thing['kind']} {len(found)}", thing))
    return found


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place below a value, in order."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def variants(thing: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The object itself; then, at every place, the field removed, renamed, doubled, and given other values."""
    yield "unchanged", thing
    for place in places(thing):
        if place[0] in ("apiVersion", "kind"):
            continue
        for what, change in changes(place):
            variant = copy.deepcopy(thing)
            holder: Any = variant
            for part in place[:-1]:
                holder = holder[part]
            change(holder, place[-1])
            yield f"{place} {what}", variant


def changes(place: tuple[str | int, ...]) -> Iterator[tuple[str, Callable[[Any, Any], object]]]:
    """Functions that change what holds a place, at the place's last part; deep places are given fewer values."""
    yield "removed", lambda holder, last: holder.pop(last)
    if isinstance(place[-1], str):
        yield "renamed", lambda holder, last: holder.update({f"{last}X": holder.pop(last)})
    else:
        yield "doubled", lambda holder, last: holder.append(holder[last])
    for value in VALUES if len(place) <= DEEP else FEW_VALUES:
        yield f"is {value!r}", partial(_set, value)


def _set(value: object, holder: Any, last: str | int) -> None:
    holder[last] = value


def additions(thing: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The object with every field that its metadata and spec might have besides, of every type."""
    for part in ("metadata", "spec"):
        of = TYPES[thing["kind"]][part].of
        for name in TYPES[of].keys() - thing.get(part, {}).keys():
            for value in VALUES:
                variant = copy.deepcopy(thing)
                variant.setdefault(part, {})[name] = value
                yield f"{part}.{name} is {value!r}", variant


@cache
def verdicts(name: str) -> list[tuple[str, bool, list[str]]]:
    """Of one object every variant, whether the official schema refuses it, and what we say against it."""
    thing = dict(objects())[name]
    first_of_kind = next(other for other, like in objects() if like["kind"] == thing["kind"])
    more = additions(thing) if name == first_of_kind else ()
    return [(what, refused_officially(variant), refusals(variant)) for what, variant in [*variants(thing), *more]]


def explained(line: str) -> bool:
    return any(re.search(pattern, line) for pattern in STRICTER)


def test_the_table_of_fields_is_the_official_one() -> None:
    ours = {
        kind: {
            name: {"list": f"[{of.of}]", "map": f"{{{of.of}}}"}.get(of.shape, of.of) + "!" * of.required
            for name, of in fields.items()
        }
        for kind, fields in TYPES.items()
    }
    assert ours == official.table()


@pytest.mark.parametrize(("name", "thing"), objects(), ids=[name for name, _ in objects()])
def test_our_reading_of_the_schema_is_that_of_kubernetes_validate(name: str, thing: dict[str, Any]) -> None:
    kubernetes_validate.validate(thing, official.VERSION, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(thing | {"extra": name}, official.VERSION, strict=True)
    assert not refused_officially(thing)
    assert refused_officially(thing | {"extra": name})


@pytest.mark.parametrize("name", [name for name, _ in objects()])
def test_what_the_official_schema_refuses_we_refuse(name: str) -> None:
    missed = [what for what, refused, ours in verdicts(name) if refused and not ours]
    assert missed == []


@pytest.mark.parametrize("name", [name for name, _ in objects()])
def test_what_the_official_schema_accepts_we_accept_or_explain(name: str) -> None:
    unexplained = [
        (what, line) for what, refused, ours in verdicts(name) if not refused for line in ours if not explained(line)
    ]
    assert unexplained == []
    assert ("unchanged", False, []) in verdicts(name)


def test_every_explanation_is_needed() -> None:
    """A row that explains nothing would hide the next disagreement."""
    said = {line for name, _ in objects() for _, refused, ours in verdicts(name) if not refused for line in ours}
    unused = [pattern for pattern in STRICTER if not any(re.search(pattern, line) for line in said)]
    assert unused == []
