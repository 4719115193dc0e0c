"""What is kept of a run: reports in every format, and with what it was found out."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from harness import __version__
from harness.model.observation import Attempt
from harness.model.run import Run
from harness.reports import html, json, junit, terminal
from harness.support.files import write_atomic

TOOLS = ("ansible-core", "ansible-runner", "pytest-testinfra", "paramiko")


def write(run: Run, folder: Path) -> None:
    """Write every report of the run into its folder, each whole or not at all."""
    write_atomic(folder / "report.json", json.render(run))
    write_atomic(folder / "junit.xml", junit.render(run))
    write_atomic(folder / "report.html", html.render(run))
    write_atomic(folder / "report.txt", terminal.render(run, width=120, colour=False))


def write_attempts(attempts: Iterable[Attempt], file: Path) -> None:
    """Write every single attempt, one JSON object a line: the evidence behind all counts."""
    encoder = msgspec.json.Encoder()
    write_atomic(file, "".join(f"{encoder.encode(attempt).decode()}\n" for attempt in attempts))


def provenance(sources: Sequence[tuple[str, bytes]] = ()) -> dict[str, str]:
    """With what a run found out what it did: versions of programs, digests of manifests."""
    from importlib.metadata import version  # noqa: PLC0415 - a tenth of what most verbs would import

    found = {"harness": __version__, "python": platform.python_version(), "kernel": platform.release()}
    found |= {tool: version(tool) for tool in TOOLS}
    found |= {f"manifest {name}": f"sha256:{hashlib.sha256(content).hexdigest()[:16]}" for name, content in sources}
    return found
