"""Three virtual machines from the Vagrantfile, proved as the nspawn nodes are. Needs `make box` and a libvirt."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.support import process

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.vm


def _harness(*words: str, timeout: float = 900) -> process.Completed:
    return process.run([sys.executable, "-m", "harness", *words], cwd=ROOT, timeout=timeout)


def test_run_on_virtual_machines_made_by_vagrant() -> None:
    try:
        up = _harness("--lab", "vmtest", "--driver", "vagrant", "up")
        assert up.ok, up.err
        ran = _harness("--lab", "vmtest", "run", "-f", "examples/web-app.yaml")
        assert ran.ok, ran.out + ran.err
        assert "vagrant" in ran.out + ran.err
    finally:
        down = _harness("--lab", "vmtest", "--driver", "vagrant", "down")
    assert down.ok, down.err
