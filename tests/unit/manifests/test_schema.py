"""Agreement with the official schema: what it refuses we refuse, and what it accepts we accept or explain.

Every variant is an example with one thing changed. Differences are allowed for the reasons in ``STRICTER`` alone: the
API server's own rules (which no schema holds), and what is not supported here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from harness import manifests
from harness.errors import ManifestError

EXAMPLES = Path(__file__).parents[3] / "examples"
OBJECTS = [
    document
    for file in ("web-app.yaml", "httpd.yaml", "auto-nodeport.yaml")
    for document in yaml.safe_load_all((EXAMPLES / file).read_text())
]
STRICTER = (
    "is missing",  # required by the API server's validation
    "at least one entry",
    "does not match the template",
    "is not within",
    "valid range",
    "may not be used when type is ClusterIP",
    "must be lower-case",
    "is not supported",
    "is empty; it would select every pod",
    "must be at most 63",
    "is not a port name",
    "there is no object in it",
    "there is no '",  # enumerations, which the schema leaves open
)
WRONG_VALUES: tuple[Any, ...] = ("text", 7, True, ["list"], {"a": "mapping"})


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield (*path, key)
            yield from places(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from places(value, (*path, index))


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    for whole in OBJECTS:
        for path in places(whole):
            name = f"{whole['kind']}:{'.'.join(map(str, path))}"
            yield f"{name} removed", changed(whole, path, None)
            yield f"{name} misspelt", changed(whole, path, "misspelt")
            for value in WRONG_VALUES:
                yield f"{name} = {value!r}", changed(whole, path, (value,))


def changed(whole: dict[str, Any], path: tuple[Any, ...], how: Any) -> dict[str, Any]:
    tree: Any = copy.deepcopy(whole)
    parent = tree
    for step in path[:-1]:
        parent = parent[step]
    if isinstance(how, tuple):
        parent[path[-1]] = how[0]
    else:
        value = parent.pop(path[-1])
        if how is not None and isinstance(parent, dict):
            parent[f"{path[-1]}x"] = value
    return tree  # type: ignore[no-any-return]


def official(tree: dict[str, Any]) -> str:
    try:
        kubernetes_validate.validate(tree, "1.31", strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    except Exception as error:  # noqa: BLE001 - an unknown kind or version is its own exception, and a refusal too
        return f"{type(error).__name__}: {error}"
    return ""


def ours(tree: dict[str, Any]) -> str:
    try:
        manifests.parse([("x.yaml", yaml.safe_dump(tree, sort_keys=False).encode())])
    except ManifestError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "tree"), list(variants()), ids=lambda value: value if isinstance(value, str) else "")
def test_we_agree_with_the_official_schema(name: str, tree: dict[str, Any]) -> None:
    theirs, mine = official(tree), ours(tree)
    if theirs:
        assert mine, f"the schema refuses ({theirs}), we accept"
    elif mine:
        assert any(reason in mine for reason in STRICTER), f"the schema accepts, we refuse: {mine}"
