"""Who reboots, and whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RigError, UsageError
from harness.session import power
from harness.session.lab import Lab


def test_machines_of_the_user_are_not_rebooted(tmp_path: Path) -> None:
    for boot in (power.reboot, power.power_cycle):
        with pytest.raises(UsageError, match="the driver static does not reboot its nodes"):
            boot(Lab.at(tmp_path, "lab", "static"), [], lambda _event: None)


def test_nodes_that_do_not_run_are_not_rebooted(tmp_path: Path) -> None:
    for boot in (power.reboot, power.power_cycle):
        with pytest.raises(RigError, match="does not run"):
            boot(Lab.at(tmp_path, "lab", "nspawn"), [], lambda _event: None)
