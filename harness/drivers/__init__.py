"""How nodes come to be: one file for each driver and one line here.

After ``up`` every driver has left the same two files, ``inventory.yml`` and ``ssh_config``, and nothing later
asks which driver it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.errors import UsageError
from harness.model.cluster import Cluster, Node

Progress = Callable[[str], None]
"""Called with one line for a person whenever a driver begins something that takes time."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lab lives: ``home`` is ``FOLDER/.harness/LAB``; ``inventory`` lists the user's own machines, if given.

    ``accept_new`` says that the user trusts the host keys of machines that were never met before; else they must be
    known. ``become_password`` is that of
    machines whose inventory says none.
    """

    home: Path
    lab: str
    inventory: Path | None = None
    accept_new: bool = False
    become_password: str = field(default="", repr=False)

    @property
    def folder(self) -> Path:
        """The user's own folder, which has the manifests and may have a ``Vagrantfile``."""
        return self.home.absolute().parents[1]

    @property
    def plan_file(self) -> Path:
        """The plan that the nodes were given last."""
        return self.home / "plan.json"

    @property
    def record(self) -> tuple[Path, ...]:
        """The files that say what the nodes were given. They are part of their state: a snapshot takes them along."""
        return (self.plan_file, self.programs_file)

    @property
    def programs_file(self) -> Path:
        """A digest of the programs that the nodes were given last."""
        return self.home / "programs"


@dataclass(frozen=True, slots=True)
class Wish:
    """What nodes are wanted: how many, and the Debian releases they take in turn.

    With more than one of ``subnets`` they are on several networks, taken in turn, with a router between them.
    ``dual_stack``: with IPv6 addresses besides; ``None`` leaves nodes that are there as they are, and makes none.
    """

    count: int = 3
    releases: tuple[str, ...] = ("bookworm",)
    subnets: int = 1
    dual_stack: bool | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``harness doctor``: what was looked at, whether it is well, what was found, what mends it."""

    name: str
    ok: bool
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A kept state of all nodes of a lab: its name, when it was taken (ISO 8601, UTC), and which nodes it has."""

    name: str
    taken: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Console:
    """What a node said on its console in its last boot: the file, and the last lines.

    ``end`` is what the console says of a boot that has ended without a running system, such as a kernel's panic;
    empty as long as the node may still come up.
    """

    file: Path
    lines: tuple[str, ...] = ()
    end: str = ""

    def told(self, node: str) -> str:
        """The whole of it for a person."""
        said = "".join(f"\n  {line}" for line in self.lines) or " nothing"
        return f"console of {node} ({self.file}):{said}"


class Driver(Protocol):
    """Nodes of one kind, for one lab. The two files are left in the place's ``home``."""

    makes_nodes: bool
    """Whether ``up`` makes the nodes and ``down`` removes them; else they are the user's, and are never removed."""

    def __init__(self, place: Place) -> None: ...

    def doctor(self) -> Sequence[Check]:
        """What this driver needs of this machine, and whether it is there. Changes nothing."""

    def usual(self) -> Wish:
        """The nodes that ``up`` makes when nobody says which."""

    def planned(self, wish: Wish) -> Cluster:
        """The nodes that ``up`` would make, with the addresses they would have. Changes nothing."""

    def status(self) -> Cluster | None:
        """The lab as it runs now, or ``None`` when it does not run (or only in part)."""

    def up(self, wish: Wish, progress: Progress) -> Cluster:
        """Make the wished nodes and wait until each answers to SSH; heal what an interrupted call left.

        Called again with the same wish it changes nothing. Raises :class:`harness.errors.DriverError`, and then
        leaves nothing behind that ``down`` would not remove.
        """

    def down(self, progress: Progress) -> None:
        """Remove every trace of this lab's nodes, also of an interrupted ``up``. Called again it does nothing."""


@runtime_checkable
class Snapshots(Protocol):
    """What a driver can do besides when it keeps whole states of its nodes; names were checked by the caller.

    With the nodes go the files of :attr:`Place.record` that there are: a restored lab says of itself what it runs.
    Each change is done whole or not at all, also when it is interrupted.
    """

    def save_snapshot(self, name: str, progress: Progress) -> Snapshot:
        """Keep the state of all nodes at one moment; the nodes run on.

        Raises :class:`UsageError` when the name is taken, :class:`harness.errors.DriverError` when they do not run.
        """

    def restore_snapshot(self, name: str, progress: Progress) -> Cluster:
        """Put all nodes, and which nodes there are, back to a kept state; returns once each answers to SSH.

        Raises :class:`UsageError` for a name that is not there, :class:`harness.errors.DriverError`.
        """

    def snapshots(self) -> Sequence[Snapshot]:
        """The kept states, oldest first."""

    def delete_snapshot(self, name: str) -> None:
        """Forget a kept state.

        Raises :class:`UsageError` for a name that is not there.
        """


@runtime_checkable
class Power(Protocol):
    """What a driver can do besides when it can have its nodes boot anew.

    Neither call waits: the caller finds out that each node booted (:mod:`harness.drivers.boots`), for up to
    ``boot_seconds``.
    """

    boot_seconds: float
    anew: str
    """What a person does about a node that does not boot any more; ``NODE`` stands for its name."""

    def console(self, node: Node, since: float) -> Console:
        """What the node said on its console since then, in seconds of the epoch; asks no node."""

    def reboot(self, nodes: Sequence[Node], progress: Progress) -> None:
        """Ask each of these nodes, all of which answer to SSH, to shut down properly and boot again.

        Raises :class:`harness.errors.DriverError`.
        """

    def power_cycle(self, nodes: Sequence[Node], progress: Progress) -> None:
        """Cut the power of all these nodes at once, without a word to them, and switch it on again.

        Raises :class:`harness.errors.DriverError`.
        """


DRIVERS: Mapping[str, str] = {
    "nspawn": "harness.drivers.nspawn:NspawnDriver",
    "static": "harness.drivers.static:StaticDriver",
    "vagrant": "harness.drivers.vagrant:VagrantDriver",
}

FINDERS: Mapping[str, str] = {"vagrant": "harness.drivers.vagrant:running"}
"""Drivers whose nodes may run because the user started them without us: a function each, folder → whether they do."""


def running_in(folder: Path) -> Sequence[str]:
    """The drivers whose nodes run in the user's ``folder``, though no option asked for them. Quick; asks no node."""
    found = []
    for name, finder in FINDERS.items():
        module, _, attribute = finder.partition(":")
        if getattr(import_module(module), attribute)(folder):
            found.append(name)
    return found


def get(name: str, place: Place) -> Driver:
    """The driver of that name for one lab.

    Raises :class:`UsageError` for a name that is not registered.
    """
    if name not in DRIVERS:
        raise UsageError(f"there is no driver {name!r}", hint=f"known drivers: {', '.join(DRIVERS)}")
    module, _, attribute = DRIVERS[name].partition(":")
    made: Driver = getattr(import_module(module), attribute)(place)
    return made
