"""Expectation files, each with the whole text that its author is shown, or with what was read.

The format: tests/cases/expect/README.md. ``HARNESS_UPDATE_CASES=1`` writes what is expected anew; the diff is the
review.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from harness import expect
from harness.errors import ManifestError
from tests.casefolder import agree

CASES = Path(__file__).parents[2] / "cases" / "expect"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
NODES = ("n1", "n2", "n3")


def outcome(case: Path) -> tuple[str, str]:
    """The name of the file that holds what is expected, and what came out."""
    source = ("expect.yml", (case / "input.yml").read_bytes())
    try:
        objects = [(name, (case / name).read_bytes()) for name in expect.objects_of(source)]
        expectation = expect.parse(source, objects, NODES)
    except ManifestError as error:
        return "expected.txt", f"{error}\n"
    return "expected.yaml", yaml.safe_dump(msgspec.to_builtins(expectation), sort_keys=False, width=120)


@pytest.mark.parametrize("case", NAMES)
def test_case(case: str) -> None:
    agree(CASES / case, *outcome(CASES / case))


@pytest.mark.parametrize("case", NAMES)
def test_names_of_cases_say_what_comes_out(case: str) -> None:
    assert case.startswith("accepted-") == (CASES / case / "expected.yaml").exists()
