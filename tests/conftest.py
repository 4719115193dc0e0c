"""What all tests share."""

from __future__ import annotations

import os

UPDATE = "HARNESS_UPDATE_CASES"

# What a person set for daily work must not lead the tests to a lab that is in use.
for _name in [name for name in os.environ if name.startswith("HARNESS_") and name != UPDATE]:
    del os.environ[_name]
