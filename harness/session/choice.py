"""Which driver makes the nodes of this folder, and why that one.

The first that holds: an inventory or a driver on the command line, ``harness.toml``, Vagrant machines of this folder
that run, else nspawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import drivers
from harness.errors import UsageError
from harness.session.settings import FILE, Settings

DEFAULT = "nspawn"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A driver's name, why it was taken, and the inventory of the user's own machines, if one was given."""

    driver: str
    why: str
    inventory: Path | None = None


def choose(folder: Path, settings: Settings, driver: str | None, inventory: str | None) -> Chosen:
    """The driver for ``folder``; ``driver`` and ``inventory`` are what the command line says.

    Raises :class:`UsageError` for options that contradict each other.
    """
    if inventory is not None:
        return _with_inventory(driver, Path(inventory), "--inventory")
    if driver is not None:
        listed = None if settings.inventory is None or driver != "static" else folder / settings.inventory
        return Chosen(driver, "--driver", listed)
    if settings.inventory is not None:
        return _with_inventory(settings.driver, folder / settings.inventory, FILE)
    if settings.driver is not None:
        return Chosen(settings.driver, FILE)
    for name in drivers.running_in(folder):
        return Chosen(name, f"this folder's {name} machines run")
    return Chosen(DEFAULT, "the default")


def _with_inventory(driver: str | None, inventory: Path, why: str) -> Chosen:
    if driver not in (None, "static"):
        raise UsageError(
            f"an inventory goes with the driver static, not with {driver}", hint="leave one of the two out"
        )
    return Chosen("static", why, inventory.absolute())
