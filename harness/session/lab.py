"""One lab: its folder, its driver, the plan that its nodes were given.

Everything a lab keeps on the user's side is in ``.harness/<lab>/``: the driver's ``inventory.yml`` and ``ssh_config``,
``plan.json`` (the plan last applied, and the objects it was made of), ``programs`` (a digest of what was installed with
it) and ``runs/<id>/`` (reports and logs).
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import drivers, plan
from harness.errors import RigError, UsageError
from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.workload import Workload
from harness.support import clock
from harness.support.files import write_atomic

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab by name, in a folder of its own; making this value touches nothing."""

    name: str
    home: Path
    driver_name: str
    inventory: Path | None = None
    accept_new: bool = False
    forwarders: tuple[str, ...] = ()
    pod_network: str | None = None
    become_password: str = field(default="", repr=False)

    @classmethod
    def at(
        cls, folder: Path, name: str, driver_name: str, inventory: Path | None = None, *, accept_new: bool = False
    ) -> Lab:
        """The lab ``name`` of the project in ``folder``; what the others are is in :class:`harness.drivers.Place`.

        Raises :class:`UsageError` for a name that could not be part of a file name or a host name.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a lab's name", hint="lower-case letters, digits and '-', up to 32")
        return cls(name, folder.resolve() / ".harness" / name, driver_name, inventory, accept_new)

    @property
    def folder(self) -> Path:
        """The project's own folder."""
        return self.home.parents[1]

    @property
    def driver(self) -> drivers.Driver:
        """The driver of this lab's nodes."""
        return drivers.get(self.driver_name, self.place)

    @property
    def place(self) -> drivers.Place:
        """Where this lab lives, for its driver."""
        return drivers.Place(self.home, self.name, self.inventory, self.accept_new, self.become_password)

    @property
    def plan_file(self) -> Path:
        """Where the plan last applied is kept."""
        return self.place.plan_file

    def cluster(self) -> Cluster:
        """The nodes as they run now.

        Raises :class:`RigError` when they do not run.
        """
        cluster = self.driver.status()
        if cluster is None and not self.driver.makes_nodes:
            raise RigError(
                f"lab {self.name!r} has not asked these machines yet, or the inventory was changed since",
                hint="`harness up` asks them, `run` and `apply` too",
            )
        if cluster is None:
            raise RigError(
                f"lab {self.name!r} does not run (or not all of its nodes do)", hint="`harness up` mends that"
            )
        return cluster

    def applied_plan(self, cluster: Cluster) -> Plan | None:
        """The plan last applied to these very nodes, or ``None``; one of an earlier lab's nodes does not count."""
        kept = self.kept()
        return kept.plan if kept and kept.plan.lab_uid == cluster.uid else None

    def kept(self) -> plan.Kept | None:
        """The plan last applied, to whatever nodes, with the objects that it was made of; ``None`` when there is none.

        Raises :class:`PlanError` when it cannot be read.
        """
        return plan.loads(self.plan_file.read_text(encoding="utf-8")) if self.plan_file.exists() else None

    def keep(self, wanted: Plan, workload: Workload | None, *, settled: bool, failed: bool = False) -> None:
        """Remember a plan as the one these nodes were given; what the rest means, :class:`harness.plan.Kept` says."""
        write_atomic(self.plan_file, plan.dumps(wanted, workload, settled=settled, failed=failed))

    def new_run(self) -> Path:
        """A new, empty folder for the reports and logs of one run, named by the time it began."""
        stamp = clock.now().strftime("%Y%m%d-%H%M%S")
        for number in range(100):
            folder = self.home / "runs" / (stamp if number == 0 else f"{stamp}-{number}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            self.show_latest(folder)
            return folder
        raise RigError(f"no free run folder under {self.home / 'runs'}")

    def show_latest(self, folder: Path) -> None:
        """Let ``runs/latest`` lead to a run: the last one, or the one that others were a part of."""
        latest = self.home / "runs" / "latest"
        latest.unlink(missing_ok=True)
        latest.symlink_to(folder.name)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lab for one change at a time.

        Raises :class:`RigError`, naming the process, when another ``harness`` is at it.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RigError(
                    f"lab {self.name!r} is being changed by another harness, process {lock.read().strip() or '?'}",
                    hint="wait for it to end, or use another lab: --lab NAME",
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield
