"""Labs for the tests: nodes of their own, which are gone when the block ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.drivers import Wish
from harness.model.progress import silent
from harness.session import run
from harness.session.lab import Lab


@contextmanager
def with_nodes(
    folder: Path, count: int = 3, releases: tuple[str, ...] = ("bookworm",), *, dual_stack: bool | None = None
) -> Iterator[Lab]:
    """A lab in ``folder`` with so many nodes, and nothing on them; with IPv6 addresses too where that is asked."""
    lab = Lab.at(folder, "test", "nspawn")
    try:
        lab.driver.up(Wish(count, releases, dual_stack=dual_stack), lambda _text: None)
        yield lab
    finally:
        lab.driver.down(lambda _text: None)


@contextmanager
def with_applied(folder: Path, *manifests: Path) -> Iterator[Lab]:
    """A lab of three nodes with these manifests in force."""
    with with_nodes(folder) as lab:
        run.apply_only(lab, [str(path) for path in manifests], silent)
        yield lab
