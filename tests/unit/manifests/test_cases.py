"""Manifests that are wrong, each with the whole text that its author is shown.

``tests/cases/manifests/<case>/input.yaml`` and ``expected.txt``; ``HARNESS_UPDATE_CASES=1`` writes the latter
anew, and the diff is the review.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import manifests
from harness.errors import ManifestError

CASES = Path(__file__).parents[2] / "cases" / "manifests"
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_faults_are_told(case: str) -> None:
    folder = CASES / case
    with pytest.raises(ManifestError) as caught:
        manifests.parse([("input.yaml", (folder / "input.yaml").read_bytes())])
    shown = f"{caught.value}\n"
    if os.environ.get("HARNESS_UPDATE_CASES"):
        (folder / "expected.txt").write_text(shown)
    assert shown == (folder / "expected.txt").read_text()


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_read(file: Path) -> None:
    workload = manifests.parse([(file.name, file.read_bytes())])
    assert workload.services


def test_all_faults_of_all_files_at_once() -> None:
    broken = [(file.name, file.read_bytes()) for file in sorted((EXAMPLES / "broken").glob("*.yaml"))]
    with pytest.raises(ManifestError) as caught:
        manifests.parse(broken)
    assert {fault.file for fault in caught.value.faults} == {name for name, _ in broken}
