"""``harness.toml``: what a project settles once, so that nobody types it with every command.

    lab = "default"                  # which lab
    driver = "vagrant"               # how nodes are made
    inventory = "hosts.yml"          # the machines of driver static, relative to this file
    nodes = 3                        # how many nodes `up` makes
    releases = ["bookworm", "trixie"]
    forwarder = ["socat", "n2=nftables"]    # of all nodes, and of some
    pod_network = "vxlan"            # how pods of several nodes meet; "routes" for nodes on one network
    ip_families = ["IPv4", "IPv6"]          # of the nodes that `up` makes

Every key may be left out; an option on the command line wins.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import UsageError

FILE = "harness.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``harness.toml`` says; ``None`` or empty for what it leaves open."""

    lab: str | None = None
    driver: str | None = None
    inventory: str | None = None
    nodes: int | None = None
    releases: tuple[str, ...] = ()
    forwarder: tuple[str, ...] | str = ()
    pod_network: Literal["routes", "vxlan"] | None = None
    ip_families: tuple[str, ...] = ()

    @property
    def forwarders(self) -> tuple[str, ...]:
        """``forwarder`` as words."""
        return (self.forwarder,) if isinstance(self.forwarder, str) else self.forwarder


def read(folder: Path) -> Settings:
    """The settings of the project in ``folder``; those of a folder without the file leave everything open.

    Raises :class:`UsageError` for a file that is not TOML, or has a key too many or of another type.
    """
    file = folder / FILE
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{FILE} cannot be read: {error}") from None
    known = [field.name for field in fields(Settings)]
    strangers = [key for key in found if key not in known]
    if strangers:
        near = difflib.get_close_matches(strangers[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        raise UsageError(f"{FILE}: unknown: {', '.join(strangers)}", hint=hint)
    try:
        return msgspec.convert(found, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"{FILE}: {error}") from None
