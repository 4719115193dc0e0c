"""What a session will test, said before anything is made: nodes, nodePorts and checks, from plan and inventory.

Nothing is changed and no node is made for it: when the lab runs, its nodes are taken, else those that ``up`` would
make, and the manifests are planned on them. So test ids are the same in every worker, and ``--collect-only`` is free.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import plan
from harness.errors import UsageError
from harness.model.cluster import Cluster, Node
from harness.model.plan import Plan, PlannedPort
from harness.model.verdict import Verdict
from harness.session import apply, choice, nodes, settings, sources, survey
from harness.session.lab import Lab
from harness.verdicts import EVERYTHING, checks_of

UNFORESEEN = "cluster-unforeseen"
"""The case of all verdicts that no other case has, such as those about a broken rig."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The nodes, as they run or would be made, and the plan that they run or will be given."""

    lab: Lab
    cluster: Cluster
    plan: Plan | None

    def nodes(self) -> Sequence[str]:
        """The names of the nodes."""
        return [node.name for node in self.cluster.nodes]

    def services(self) -> dict[str, str]:
        """What a nodePort is called in ids, and what it is found by again: its number may be another one then.

        Raises :class:`UsageError` when there is none.
        """
        if not (found := ports(self.plan)):
            raise UsageError("there is no nodePort to test", hint="--harness-manifests PATH")
        return {f"{key.rpartition(':')[0]}:{port.node_port}/{port.protocol}": key for key, port in found.items()}

    def checks(self) -> Sequence[str]:
        """Node and check of every verdict to come.

        Raises :class:`UsageError` when nothing was or will be applied.
        """
        if self.plan is None:
            raise UsageError("nothing was applied to these nodes yet", hint="--harness-manifests PATH")
        look = survey.wanted(self.cluster, self.plan, EVERYTHING)
        cells = (f"{cell.node or 'cluster'}-{check}" for cell in look.cells for check in checks_of(cell))
        states = (f"{name}-node-state" for name in self.nodes())
        return [*dict.fromkeys((*cells, *map(key_of, look.known), *states)), UNFORESEEN]


def key_of(verdict: Verdict) -> str:
    """Node and check of a verdict, as ids have them."""
    return f"{verdict.node or 'cluster'}-{verdict.check}"


def ports(known: Plan | None) -> dict[str, PlannedPort]:
    """Every nodePort of a plan, by its Service and what the Service calls it."""
    return {
        f"{service.key}:{port.name or port.port}/{port.protocol}": port
        for service in (known.services if known else ())
        for port in service.ports
        if port.node_port
    }


def look(config: pytest.Config) -> Foreseen:
    """What this session will test.

    Raises :class:`harness.errors.HarnessError` for what cannot be tested: options that make no sense, manifests with
    faults, no nodes, or this very machine.
    """
    lab = lab_of(config)
    cluster = nodes.planned_for(lab, None)
    if not cluster.nodes:
        raise UsageError("there are no nodes to test")
    if here := _here(cluster.nodes):
        raise UsageError(
            f"{', '.join(here)}: this is the very machine on which pytest runs; nothing is proven from here to here"
        )
    applied = lab.applied_plan(cluster)
    return Foreseen(lab, cluster, _planned(lab, cluster, applied, manifests_of(config)) or applied)


def lab_of(config: pytest.Config) -> Lab:
    """The lab that options, the ini file, ``harness.toml`` or what runs here choose."""
    given = {name: config.getoption(f"--harness-{name}") or config.getini(f"harness_{name}") or None
             for name in ("driver", "lab", "inventory")}  # fmt: skip
    folder = Path(config.invocation_params.dir)
    kept = settings.read(folder)
    chosen = choice.choose(folder, kept, given["driver"], given["inventory"])
    return Lab.at(folder, given["lab"] or kept.lab or "default", chosen.driver, chosen.inventory)


def manifests_of(config: pytest.Config) -> Sequence[str]:
    """The manifests that are applied before the tests."""
    found: Sequence[str] = config.getoption("--harness-manifests") or config.getini("harness_manifests")
    return found


def _planned(lab: Lab, cluster: Cluster, applied: Plan | None, paths: Sequence[str]) -> Plan | None:
    if not paths:
        return None
    workload = apply.wanted_workload(lab, sources.read(paths))
    return plan.build(workload, apply.with_choices(lab, cluster).nodes, cluster.uid, applied)


def _here(known: Iterable[Node]) -> list[str]:
    """The nodes whose address is one of this machine's own: only such a one can be bound to (ip(7))."""
    found = []
    for node in known:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((node.address, 0))
            except OSError:
                continue
        found.append(node.name)
    return found
