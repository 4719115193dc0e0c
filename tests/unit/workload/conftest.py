"""A pod's responder on loopback, as its unit would start it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.unit.workload.rig import Responder, running


@pytest.fixture
def start() -> Iterator[Callable[..., Responder]]:
    """Starts a responder with these ports (``0`` is any) and settings; it is ended with the test."""
    with ExitStack() as stack:
        yield lambda listens="0/TCP 0/UDP", **settings: stack.enter_context(running(listens, settings))


@pytest.fixture(scope="module")
def responder() -> Iterator[Responder]:
    """A responder with two TCP ports and two UDP ports, for all tests of a module."""
    with running("0/TCP 0/TCP 0/UDP 0/UDP", {}) as made:
        yield made
