"""The complete report as JSON; ``docs/report.md`` describes its fields."""

from __future__ import annotations

import msgspec

from harness.model.run import Run

SCHEMA = "nodeport-harness/report"
VERSION = 1


def render(run: Run) -> str:
    """Everything that is known of the run, in a stable order of keys, ending with a newline."""
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "status": run.status,
        "exit_code": run.status.exit_code,
        **msgspec.to_builtins(run),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
