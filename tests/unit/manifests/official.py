"""The official schema (kubernetes-validate, strict) written in the notation of ``harness.manifests.fields``."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

VERSION = "1.37.0"
ROOTS = ("api.core.v1.Pod", "api.core.v1.Service", "api.core.v1.Namespace", "api.apps.v1.Deployment",
         "api.apps.v1.ReplicaSet", "api.discovery.v1.EndpointSlice")  # fmt: skip
SCALARS = {"Time": "string", "FieldsV1": "object", "Quantity": "quantity", "IntOrString": "intstr"}


@cache
def definitions() -> dict[str, dict[str, Any]]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{VERSION}-local-strict"
    known: dict[str, dict[str, Any]] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return known


def table() -> dict[str, dict[str, str]]:
    """Type to field to notation: ``int32!``, ``[Container]``, ``{string}`` …, for every type that manifests reach."""
    found: dict[str, dict[str, str]] = {}
    waiting = [f"io.k8s.{root}" for root in ROOTS]
    while waiting:
        name = waiting.pop(0)
        short = name.rpartition(".")[2]
        if short in found or short in SCALARS:
            continue
        official = definitions()[name]
        required = official.get("required", [])
        found[short] = {
            field: notation(inner) + ("!" if field in required else "")
            for field, inner in official["properties"].items()
        }
        waiting += [target for inner in official["properties"].values() for target in targets(inner)]
    return found


def notation(inner: dict[str, Any]) -> str:
    if "$ref" in inner:
        short = inner["$ref"].rpartition(".")[2]
        return str(SCALARS.get(short, short))
    kind = next(word for word in _words(inner["type"]) if word != "null")
    if kind == "array":
        return f"[{notation(inner['items'])}]"
    if kind == "object":
        return f"{{{notation(inner['additionalProperties'])}}}"
    return str({"integer": inner.get("format"), "boolean": "bool"}.get(kind, kind))


def targets(inner: dict[str, Any]) -> list[str]:
    if "$ref" in inner:
        return [inner["$ref"].rpartition("/")[2]]
    inside = [inner[part] for part in ("items", "additionalProperties") if part in inner]
    return [target for part in inside for target in targets(part)]


def _words(kind: str | list[str]) -> list[str]:
    return [kind] if isinstance(kind, str) else kind
