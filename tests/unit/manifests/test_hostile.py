"""Hostile and odd input: one clear message, soon, and never anything but a ManifestError."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import manifests
from harness.errors import ManifestError
from harness.manifests.compose import MAX_NODES
from harness.manifests.document import MAX_BYTES
from harness.manifests.faults import MOST_FAULTS

BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (ord("b") + i, ord("b") + i, b", ".join([b"*%c" % (ord("a") + i)] * 9)) for i in range(12)
)
WEB_APP = (Path(__file__).parents[3] / "examples" / "web-app.yaml").read_bytes()
SOON = 10.0
"""Seconds of processor time: generous, as machines differ; what it must catch takes minutes."""


def faults(data: bytes) -> list[str]:
    """What is said of one file."""
    with pytest.raises(ManifestError) as caught:
        manifests.parse([("odd.yaml", data)])
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "odd.yaml:1: there is no object in it (is it the right file?)"),
        (b"---\n---\n...\n# nothing\n", "odd.yaml:1: there is no object in it (is it the right file?)"),
        (b"null", "odd.yaml:1: there is no object in it (is it the right file?)"),
        (b"\xff\xfek\x00", "odd.yaml:1: the file is UTF-16 (save it as UTF-8)"),
        (b"k\x00i\x00", "odd.yaml:1: the file has NUL bytes: it is binary, or UTF-16 (is it the right file? save it"),
        (b"a: b\nb: \x1b[1m", "odd.yaml:2: the file has the control character '\\x1b' (remove it)"),
        (b"a: b\nkind: \xe9", "odd.yaml:2: the file is not text in UTF-8 (is it the right file? save it as UTF-8)"),
        (b"kind: Pod\n\tmetadata: {}\n", "odd.yaml:2: a tab is used to indent (YAML wants spaces)"),
        (b"a" * (5 * 1024 * 1024), "odd.yaml:1: the file has 5.0 MiB; at most 4 MiB are read (is it a manifest?"),
        (b"[" * 5000, "odd.yaml:1: nested deeper than 60 levels (is it a manifest?)"),
        (b"a: 1\nb: &b [*b]", "odd.yaml:2: the alias *b contains itself (write the value out)"),
        (b"a: *b", 'odd.yaml:1: there is no anchor &b for the alias *b (if the value begins with *, quote it: "*b")'),
        (BOMB, "odd.yaml:6: the file has more than 400,000 values, aliases (*name) written out (split it)"),
        (
            b"- just\n- a list\n",
            "odd.yaml:1: an object of Kubernetes is a mapping, this is a list (it begins with",
        ),
        (b"plain text", "odd.yaml:1: an object of Kubernetes is a mapping, this is 'plain text' (write `name: value`"),
        (b"%TAG !a! x\na: b", "odd.yaml:1: a line that begins with % is a directive (end it by a line ---, or remove"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_odd_input_has_one_clear_message(data: bytes, said: str) -> None:
    lines = faults(data)
    assert lines[0].startswith(said)
    assert len(lines) == 1
    assert len(lines[0]) < 250


def config_map(data: str) -> bytes:
    """An object whose content nobody judges: 8 nodes, and those of ``data``."""
    return f"{{apiVersion: v1, kind: ConfigMap, metadata: {{}}, data: {data}}}".encode()


@pytest.mark.parametrize(
    ("most", "too_much", "said"),
    [
        (config_map("[" * 59 + "]" * 59), config_map("[" * 60 + "]" * 60), "nested deeper than 60 levels"),
        (config_map("[" + "1, " * (MAX_NODES - 9) + "]"), config_map("[" + "1, " * (MAX_NODES - 8) + "]"), "more than"),
        (config_map("{}").ljust(MAX_BYTES), config_map("{}").ljust(MAX_BYTES + 1), "at most 4 MiB"),
    ],
    ids=["levels", "values", "bytes"],
)
def test_limits_are_where_they_are_said_to_be(most: bytes, too_much: bytes, said: str) -> None:
    assert manifests.parse([("most", most)]).ignored
    (line,) = faults(too_much)
    assert said in line


def test_line_ends_of_other_systems() -> None:
    for end in (b"\r\n", b"\r"):
        assert manifests.parse([("w", WEB_APP.replace(b"\n", end))]) == manifests.parse([("w", WEB_APP)])


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert manifests.parse([("w", b"\xef\xbb\xbf" + WEB_APP)]) == manifests.parse([("w", WEB_APP)])


def test_what_is_quoted_is_cut_short_and_escaped() -> None:
    name = '"\\e[31m' + "x" * 5000 + '"'
    (line,) = faults(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n".encode())
    assert line.startswith("odd.yaml:3: metadata.name: '\\x1b[31mxxx")
    assert len(line) < 200
    assert line.isprintable()


def test_names_of_fields_are_cut_short_and_escaped() -> None:
    key = '"\\e[31m' + "x" * 900 + '"'
    (line,) = faults(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, {key}: 1}}\n".encode())
    assert line.startswith("odd.yaml:3: metadata['\\x1b[31mxxx")
    assert len(line) < 200
    assert line.isprintable()


def test_faults_of_one_file_are_shown_up_to_a_limit() -> None:
    lines = faults(b"kind: Pod\n---\n" * 1000)
    assert len(lines) == MOST_FAULTS + 1
    assert lines[-1] == f"odd.yaml:201: and more: only {MOST_FAULTS} faults of a file are shown"


def test_a_document_that_is_no_yaml_does_not_hide_the_faults_of_others() -> None:
    assert faults(b"a: 'b\n---\nkind: Pod\n---\n} \n") == [
        "odd.yaml:1: a quote that opens here is not closed as it should be",
        "odd.yaml:3: apiVersion: is missing (such as v1)",
        "odd.yaml:5: '}' closes a bracket that is not open (remove it, or open it)",
    ]


def test_ten_thousand_documents_are_read() -> None:
    text = "".join(
        f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}}}\nspec: {{containers: [{{name: c, image: i}}]}}\n"
        for n in range(10_000)
    )
    before = time.process_time()
    assert len(manifests.parse([("many", text.encode())]).pods) == 10_000
    assert time.process_time() - before < SOON


@pytest.mark.parametrize(
    "piece",
    [
        b"---\n" + WEB_APP, b"a,", b"[", b"{a: ", b"- ", b"? - ", b"a: b\n", b"---\na: b\n", b"---\n{\n", b"k: [\n",
        b"%TAG !a! x\n", b"...\n%TAG !a! x\n", b"&a ", b"!", b"\n", b"#\n", b" ", b'"', b'- "\n', b'"a": ', b"a\n",
        b"|\n ", b"- &a\n", b"- *a\n", b"\xc2\xa0", b"a" * 100 + b": 1\n", b"{a: b, ", b"- 1\n", b"0_",
    ],
    ids=lambda piece: repr(piece[:12]),
)  # fmt: skip
@pytest.mark.parametrize("before", [b"", b"["], ids=repr)
def test_a_large_file_of_any_one_piece_is_judged_soon(before: bytes, piece: bytes) -> None:
    data = before + piece * (MAX_BYTES // 6 // len(piece))
    begun = time.process_time()
    with suppress(ManifestError):
        manifests.parse([("large", data)])
    assert time.process_time() - begun < SOON


@pytest.mark.parametrize("field", ["f%d: 1", "ports%d: {}", '"%d": a'])
def test_a_file_of_unknown_fields_is_judged_soon(field: str) -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n"
    text += "".join(f"  {field % number}\n" for number in range(150_000))
    begun = time.process_time()
    assert len(faults(text.encode())) == MOST_FAULTS + 1
    assert time.process_time() - begun < SOON


@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    with suppress(ManifestError):
        manifests.parse([("random", data)])


@given(st.text(alphabet="ab:-? #&*!|>'\"%@`{}[],\n\t~<0.", max_size=80))
def test_random_punctuation_never_crashes(text: str) -> None:
    with suppress(ManifestError):
        manifests.parse([("random", b"apiVersion: v1\nkind: Service\n" + text.encode())])


FIELDS = """apiVersion kind metadata name namespace spec ports selector port type containers template replicas labels
matchLabels matchExpressions key operator values nodePort targetPort protocol items clusterIP image << strategy
rollingUpdate""".split()
LEAVES = st.sampled_from(
    """Pod Service Deployment List NodePort v1 apps/v1 web 80 30008 true null ~ 1.5 -1 In Exists UDP "" '80' !!int
    !!str 99999999999999999999 [] {} 0x1 &a *a""".split()
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6).map(
            lambda tree: "{" + ", ".join(f"{key}: {value} " for key, value in tree.items()) + "}"
        ),
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + " ]"),
    ),
    max_leaves=25,
)


@given(st.sampled_from(["Pod", "Service", "Deployment", "ReplicaSet", "Namespace", "List"]), TREES, TREES)
def test_random_trees_never_crash(kind: str, metadata: str, spec: str) -> None:
    version = "apps/v1" if kind in ("Deployment", "ReplicaSet") else "v1"
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"
    with suppress(ManifestError):
        manifests.parse([("random", text.encode())])
