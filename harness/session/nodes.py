"""Nodes of a lab: made, found, removed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace

from harness.converge import runner
from harness.drivers import Wish
from harness.errors import DriverError, UsageError
from harness.model.cluster import Cluster
from harness.model.progress import Listener, Step
from harness.session import settings, settle
from harness.session.lab import Lab


def usual(lab: Lab) -> Wish:
    """The nodes that a lab gets when no option says more: those of ``harness.toml``, else the driver's usual ones."""
    wish = lab.driver.usual()
    settled = settings.read(lab.folder)
    dual = dual_stack(settled.ip_families)
    return Wish(settled.nodes or wish.count, settled.releases or wish.releases, dual_stack=dual)


def dual_stack(families: Sequence[str]) -> bool | None:
    """What families of addresses mean for nodes: IPv4 alone, or both; ``None`` when nothing is said.

    Raises :class:`UsageError` for others: every node needs IPv4, by which it is reached.
    """
    known = {family.lower() for family in families}
    if not families or known in ({"ipv4"}, {"ipv4", "ipv6"}):
        return len(known) == 2 if families else None
    raise UsageError(f"nodes cannot have {','.join(families)} alone", hint="IPv4, or IPv4,IPv6")


def up(lab: Lab, wish: Wish | None, listener: Listener) -> Cluster:
    """The nodes of the lab: those that run when no wish is given, else made, healed or resized to the wish.

    The user's own machines are asked every time: one may have gone away, or come back.

    Raises :class:`harness.errors.DriverError`.
    """
    found = lab.driver.status() if lab.driver.makes_nodes else None
    if found is not None and wish is None:
        return found
    cluster = lab.driver.up(wish or usual(lab), lambda text: listener(Step(text)))
    applied = lab.applied_plan(cluster)
    if found is None and applied is not None and lab.driver.makes_nodes:
        settle.settle_given(cluster, applied, listener)  # nodes that were off have booted
    return cluster


def usable(lab: Lab, listener: Listener) -> Cluster:
    """The nodes that run; the user's own machines are asked, and those that cannot be used now are ``missing``.

    Raises :class:`harness.errors.RigError`.
    """
    return lab.cluster() if lab.driver.makes_nodes else up(lab, None, listener)


def planned_for(lab: Lab, count: int | None) -> Cluster:
    """The nodes to plan for: those that run, or (none run, or another number is asked for) those ``up`` would make."""
    found = lab.driver.status() if count is None else None
    wish = usual(lab)
    return found or lab.driver.planned(replace(wish, count=count or wish.count))


def down(lab: Lab, listener: Listener) -> None:
    """Remove the nodes and what was planned for them; reports of earlier runs stay."""
    lab.driver.down(lambda text: listener(Step(text)))
    for kept in lab.place.record:
        kept.unlink(missing_ok=True)
    if not (lab.home / "runs").exists():
        shutil.rmtree(lab.home, ignore_errors=True)


def reset(lab: Lab, listener: Listener) -> tuple[str, ...]:
    """Take our work off the user's own machines, and put back what was there before; in words, what had to stay.

    Raises :class:`UsageError` when the lab's nodes are not the user's, :class:`harness.errors.RigError` when a
    machine cannot be reset.
    """
    if lab.driver.makes_nodes:
        raise UsageError(
            "only machines of an inventory are reset; nodes that were made are removed", hint="harness down"
        )
    cluster = up(lab, None, listener)
    done = runner.play("reset.yml", cluster, None, lab.new_run() / "ansible.log", listener)
    complain(cluster)
    return done.said


def summary(cluster: Cluster) -> str:
    """One line for a person: how many nodes, of which driver and releases."""
    releases = sorted({node.release for node in cluster.nodes if node.release})
    kind = f"{cluster.driver} nodes" + (f" ({', '.join(releases)})" if releases else "")
    without = f"; without {names([machine.name for machine in cluster.missing])}" if cluster.missing else ""
    return f"{len(cluster.nodes)} {kind} answer: {names([node.name for node in cluster.nodes])}{without}"


def complain(cluster: Cluster) -> None:
    """Raise :class:`DriverError`, which names them, when machines of the lab cannot be used."""
    if cluster.missing:
        lines = "\n".join(f"  {machine.name}: {machine.why}" for machine in cluster.missing)
        raise DriverError(
            f"machines that cannot be used:\n{lines}",
            hint=f"the others are well; try by hand: ssh -F {cluster.ssh_config} {cluster.missing[0].name}",
        )


def names(all_names: list[str], shown: int = 6) -> str:
    """Some names, and how many more there are."""
    rest = len(all_names) - shown
    return ", ".join(all_names[:shown]) + (f" and {rest} more" if rest > 0 else "")
