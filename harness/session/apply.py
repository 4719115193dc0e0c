"""From manifests to nodes that run them: plan, then converge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness import manifests, plan
from harness.converge import hostvars, runner
from harness.model.cluster import Cluster
from harness.model.convergence import Convergence
from harness.model.plan import Plan
from harness.model.progress import Listener
from harness.session.lab import Lab
from harness.support.files import write_atomic


def make_plan(given: Sequence[tuple[str, bytes]], cluster: Cluster, previous: Plan | None) -> Plan:
    """The plan of manifests, as :func:`harness.session.sources.read` gives them, for these nodes. Touches nothing.

    Raises :class:`harness.errors.InputError` with every fault of the first phase that has one.
    """
    return plan.build(manifests.parse(given), cluster.nodes, cluster.uid, previous)


def converge(lab: Lab, cluster: Cluster, wanted: Plan, folder: Path, listener: Listener) -> Convergence:
    """Bring the nodes to the plan; when this returns, every node runs the wanted generation.

    The plan is kept before the nodes are touched: an interrupted run is carried on by the next one, with
    the same ports, addresses and names.

    Raises :class:`harness.errors.ConvergeError`.
    """
    lab.keep_plan(wanted)
    variables = folder / "plan.json"
    write_atomic(variables, json.dumps(hostvars.render(wanted), indent=1))
    return runner.play("site.yml", cluster, variables, folder / "ansible.log", listener)
