"""docs/conformance.md is true: every row of upstream is there, every name exists, and checks claim what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.verdicts import CHECKS

TESTS = Path(__file__).parents[2]
TABLE = TESTS.parent / "docs" / "conformance.md"
STATES = ("covered", "stronger", "part", "open", "n/a")


class Row(NamedTuple):
    numbers: tuple[int, ...]
    upstream: str
    state: str
    by: tuple[str, ...]
    why: str


def rows() -> list[Row]:
    found = []
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0][:1].isdigit():
            number, upstream, state, by, why = cells
            first, _, last = number.partition("–")
            numbers = tuple(range(int(first), int(last or first) + 1))
            found.append(Row(numbers, upstream, state, tuple(re.findall("`([^`]+)`", by)), why))
    return found


ROWS = rows()


def test_every_test_of_upstream_has_one_row() -> None:
    assert [number for row in ROWS for number in row.numbers] == list(range(1, 113))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.numbers[0]))
def test_a_row_says_by_what_or_why_not(row: Row) -> None:
    assert row.state in STATES
    if row.state in ("covered", "stronger", "part"):
        assert row.by, "what stands for it?"
    if row.state in ("stronger", "part", "n/a"):
        assert row.why, "how, or why not?"
    for name in row.by:
        assert exists(name), f"{name} is neither a check nor a test"


def exists(name: str) -> bool:
    """Whether it is a check, a folder of a case, or a test function."""
    if name in {check.id for check in CHECKS}:
        return True
    path, _, function = name.partition("::")
    file = TESTS / path
    return file.is_dir() if not function else file.is_file() and f"def {function}(" in file.read_text()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_and_the_table_say_the_same(check: object) -> None:
    claimed = set(getattr(check, "upstream", ()))
    named = {number for row in ROWS for number in row.numbers if getattr(check, "id", "") in row.by}
    assert claimed == named, "catalogue.py and docs/conformance.md differ"
