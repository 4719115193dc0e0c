"""A case folder: ``input*``, and one file ``expected.*`` with all that comes out of it.

``HARNESS_UPDATE_CASES=1`` writes what is expected anew; the diff is the review.
"""

from __future__ import annotations

import os
from pathlib import Path


def agree(case: Path, name: str, came_out: str) -> None:
    """Assert that what came out is the text of the case's one expected file, which is called ``name``."""
    if os.environ.get("HARNESS_UPDATE_CASES"):
        for old in case.glob("expected.*"):
            old.unlink()
        (case / name).write_text(came_out)
    assert [path.name for path in case.glob("expected.*")] == [name], came_out
    assert came_out == (case / name).read_text()
