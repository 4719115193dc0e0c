"""Whole states of a lab, kept and put back: what the nodes have on their disks, and the plan that says so."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.drivers import Snapshot, Snapshots
from harness.errors import UsageError
from harness.model.cluster import Cluster
from harness.model.progress import Listener, Step
from harness.session import settle
from harness.session.lab import Lab

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


def save(lab: Lab, name: str, listener: Listener) -> Snapshot:
    """Keep the state of the lab's nodes, which run on.

    Raises :class:`UsageError`, :class:`harness.errors.DriverError`.
    """
    with lab.changing():
        return _able(lab).save_snapshot(_checked(name), lambda text: listener(Step(text)))


def restore(lab: Lab, name: str, listener: Listener) -> Cluster:
    """Put the lab back to a kept state; returns once its nodes run again what they were given, without Ansible.

    Raises :class:`UsageError`, :class:`harness.errors.RigError`.
    """
    with lab.changing():
        cluster = _able(lab).restore_snapshot(_checked(name), lambda text: listener(Step(text)))
        settle.settle(cluster, lab.applied_plan(cluster), listener)
        return cluster


def known(lab: Lab) -> Sequence[Snapshot]:
    """The kept states of the lab, oldest first."""
    return _able(lab).snapshots()


def delete(lab: Lab, name: str) -> None:
    """Forget a kept state.

    Raises :class:`UsageError`.
    """
    with lab.changing():
        _able(lab).delete_snapshot(_checked(name))


def _able(lab: Lab) -> Snapshots:
    driver = lab.driver
    if not isinstance(driver, Snapshots):
        raise UsageError(
            f"the driver {lab.driver_name} keeps no snapshots of its nodes",
            hint="machines of your own: take them where the machines are made",
        )
    return driver


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a snapshot's name", hint="lower-case letters, digits and '-', up to 32")
    return name
