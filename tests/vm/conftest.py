"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.machines import Machines, a_folder


@pytest.fixture(scope="session")
def converged() -> Iterator[Machines]:
    """Three machines of two releases, converged with the example; for all tests with the mark ``vm``."""
    with a_folder(111, ("bookworm", "bookworm", "trixie")) as machines:
        machines.well("--driver", "vagrant", "up")
        machines.well("apply", "-f", "web-app.yaml")
        yield machines
