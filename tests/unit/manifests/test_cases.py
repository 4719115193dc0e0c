"""Manifests, each with the whole text that its author is shown, or with what was read.

The format: tests/cases/manifests/README.md. ``HARNESS_UPDATE_CASES=1`` writes what is expected anew; the diff is the
review.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from harness import manifests
from harness.errors import ManifestError
from tests.casefolder import agree

CASES = Path(__file__).parents[2] / "cases" / "manifests"
EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())


def outcome(case: Path) -> tuple[str, str]:
    """The name of the file that holds what is expected, and what came out."""
    sources = [(path.name, path.read_bytes()) for path in sorted(case.glob("input*"))]
    try:
        workload = manifests.parse(sources)
    except ManifestError as error:
        return "expected.txt", f"{error}\n"
    return "expected.yaml", yaml.safe_dump(msgspec.to_builtins(workload), sort_keys=False, width=120)


@pytest.mark.parametrize("case", NAMES)
def test_case(case: str) -> None:
    agree(CASES / case, *outcome(CASES / case))


@pytest.mark.parametrize("case", NAMES)
def test_names_of_cases_say_what_comes_out(case: str) -> None:
    assert case.startswith("accepted-") == (CASES / case / "expected.yaml").exists()


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_read(file: Path) -> None:
    workload = manifests.parse([(file.name, file.read_bytes())])
    assert workload.services


def test_all_faults_of_all_files_at_once() -> None:
    broken = [(file.name, file.read_bytes()) for file in sorted((EXAMPLES / "broken").glob("*.yaml"))]
    with pytest.raises(ManifestError) as caught:
        manifests.parse(broken)
    assert {fault.file for fault in caught.value.faults} == {name for name, _ in broken}
