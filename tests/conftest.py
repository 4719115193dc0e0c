"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

UPDATE = "HARNESS_UPDATE_CASES"

# What a person set for daily work must not lead the tests to a lab that is in use.
for _name in [name for name in os.environ if name.startswith("HARNESS_") and name != UPDATE]:
    del os.environ[_name]


# The programs that tests call are started many hundred times: each start would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as on a terminal; the background job of a shell, and what it starts, is born ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
