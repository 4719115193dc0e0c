"""Plain scalars mean what they mean to kubectl (sigs.k8s.io/yaml: goyaml.v2, resolve.go)."""

from __future__ import annotations

import pytest

from harness.manifests import scalars


@pytest.mark.parametrize(
    ("meaning", "texts"),
    [
        ("null", ["", "~", "null", "Null", "NULL"]),
        ("bool", ["true", "True", "yes", "YES", "on", "On", "off", "n", "N", "y", "Y", "No"]),
        ("int", ["0", "7", "-1", "+3", "30008", "0x1F", "017", "0b101", "0o17", "1_000"]),
        ("float", ["1.0", "1.", ".5", "-1.5", "1e3", "12E-3", "1.5e+3", "030008", ".inf", "-.INF", ".nan"]),
        ("str", ["nULL", "tRUE", "yEs", "1:30", "2026-11-21", "1.2.3", "1e", "e1", "0x", "-", "+", ".", "--1", "1-",
                 "=", "None", "off-line", "10.0.0.1", "1Gi", "100m", "25%", "2026-11-21T10:00:00Z"]),
    ],
)  # fmt: skip
def test_meaning(meaning: str, texts: list[str]) -> None:
    assert {text: scalars.meaning(text) for text in texts} == dict.fromkeys(texts, meaning)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-1", -1), ("30008", 30008), ("9223372036854775807", 2**63 - 1)]
)
def test_whole_numbers(text: str, value: int) -> None:
    assert scalars.whole(text) == value


@pytest.mark.parametrize("text", ["017", "0x50", "1_000", "+3", "1.0", "", "1" * 20, "-0x1", "²"])
def test_no_decimal_whole_numbers(text: str) -> None:
    assert scalars.whole(text) is None


def test_truth() -> None:
    assert [scalars.truth(text) for text in ("on", "Yes", "TRUE", "y", "off", "No", "n")] == [True] * 4 + [False] * 3
