"""Case folders: states in, nftables text or reasons out. The format: tests/cases/forwarder/README.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from nodeportd import ruleset, state
from nodeportd.endpoints import effective

from tests.casefolder import agree

CASES = sorted(path for path in (Path(__file__).parents[2] / "cases" / "forwarder").iterdir() if path.is_dir())
THEN = "# then\n"


def outcome(case: Path) -> tuple[str, str]:
    """The name of the file of what is expected, and what came out."""
    try:
        wanted = state.parse((case / "state.json").read_bytes())
    except state.StateError as error:
        return "expected.txt", "".join(f"{reason}\n" for reason in error.reasons)
    before = case / "before.json"
    if before.exists():
        steps = ruleset.steps(effective(state.parse(before.read_bytes())), effective(wanted))
        return "expected.nft", THEN.join(step.text for step in steps)
    return "expected.nft", ruleset.full(effective(wanted))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    agree(case, *outcome(case))
