"""Quantities, by the examples of apimachinery's documentation and its tests."""

from __future__ import annotations

import pytest

from harness.manifests import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("128974848", 128974848), ("129e6", 129_000_000), ("129M", 129_000_000), ("123Mi", 123 * 2**20),
        ("128974848000m", 128974848), ("0.5Gi", 2**29), (".5k", 500), ("1.", 1), ("+1Ki", 1024), ("-1", -1),
        ("1E", 10**18), ("1Ei", 2**60), ("1E3", 1000), ("1n", 1), ("1500m", 2), ("64u", 1),
    ],
)  # fmt: skip
def test_quantities(text: str, value: int) -> None:
    assert quantity.whole(text) == value


@pytest.mark.parametrize("text", ["", "64MB", "Mi", "64 Mi", "64mi", "0x40", "1e", "1_000", "1e3Mi", "1,5Gi", "∞", "٣"])
def test_no_quantities(text: str) -> None:
    assert quantity.whole(text) is None
