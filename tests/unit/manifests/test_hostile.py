"""Hostile and odd input: one clear message, soon, and never anything but a ManifestError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import manifests
from harness.errors import ManifestError

BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (ord("b") + i, ord("b") + i, b", ".join([b"*%c" % (ord("a") + i)] * 9)) for i in range(12)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "there is no object in it"),
        (b"---\n---\n", "there is no object in it"),
        (b"\xff\xfek\x00", "UTF-16"),
        (b"\x00\x01\x02", "control character"),
        (b"kind: \xe9", "not text in UTF-8"),
        (b"kind: Pod\n\tmetadata: {}\n", "a tab"),
        (b"a" * (5 * 1024 * 1024), "at most 4 MiB"),
        (b"[" * 5000, "nested deeper than 60 levels"),
        (b"a: &a [*a]", "contains itself"),
        (b"a: *b", "no anchor &b"),
        (BOMB, "aliases multiply"),
        (b"kind: !!python/object/apply:os.system [id]", "not for manifests"),
        (b"- just\n- a list\n", "must be a mapping"),
        (b"plain text", "must be a mapping"),
        (b"kind: Pod\nkind: Service\n", "is there twice"),
        (b"<<: {a: 1}\nkind: Pod\n", "merge keys"),
        (b"1: a\n", "is not a string"),
    ],
    ids=str,
)
def test_odd_input_has_a_clear_message(data: bytes, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifests.parse([("odd.yaml", data)])
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600


@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    with suppress(ManifestError):
        manifests.parse([("random", data)])


FIELDS = (
    "apiVersion kind metadata name spec ports selector port type containers template replicas labels matchLabels"
    " nodePort targetPort protocol"
).split()
LEAVES = st.sampled_from(
    ["Pod", "Service", "Deployment", "v1", "apps/v1", "web", "80", "30008", "true", "null", "~", "1.5"]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6).map(
            lambda tree: "{" + ", ".join(f"{key}: {value}" for key, value in tree.items()) + "}"
        ),
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
    ),
    max_leaves=25,
)


@given(st.sampled_from(["Pod", "Service", "Deployment"]), TREES, TREES)
def test_random_trees_never_crash(kind: str, metadata: str, spec: str) -> None:
    version = "apps/v1" if kind == "Deployment" else "v1"
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"
    with suppress(ManifestError):
        manifests.parse([("random", text.encode())])
