"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.machines import Machines, a_folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Virtual machines come first: they take longest, and with several workers the others work beside them."""
    items.sort(key=lambda item: not item.path.is_relative_to(Path(__file__).parent))


@pytest.fixture(scope="session")
def converged() -> Iterator[Machines]:
    """Three machines of two releases, converged with the example; for all tests with the mark ``vm``."""
    with a_folder(111, ("bookworm", "bookworm", "trixie")) as machines:
        machines.well("--driver", "vagrant", "up")
        machines.well("apply", "-f", "web-app.yaml")
        yield machines
