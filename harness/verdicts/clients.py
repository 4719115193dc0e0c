"""Many clients outside: with ``sessionAffinity: ClientIP`` each sticks to one pod, and all together spread. Pure.

One address outside proves that a client sticks, never that clients spread: a forwarder that sends everybody to the
first pod passes. So a number of addresses that no earlier run has used (a client may rightly stick to where it was
sent hours ago) ask each once, to be dealt their pod, and then again. The pods that are dealt out are so many
independent picks, so the same arithmetic holds as for connections without affinity (docs/decisions/0002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.model.observation import CLIENTS, Target
from harness.model.plan import Plan, serving
from harness.model.workload import TrafficPolicy
from harness.plan.promises import has
from harness.verdicts import stats
from harness.verdicts.expectations import Cell, CellKey, Depth, expected

LUCK = 1e-9
"""The chance of a false alarm of one cell in one stage; a few cells of these are little beside the whole budget."""

FEWEST, MOST = 10, 200
"""Clients of one cell and stage."""

EACH = 5
"""Attempts of each client."""

ALONE = 32
"""Attempts of the first round: if none is answered, it costs one time-out."""

CELLS = 12
"""The most cells of a run."""


def clients(plan: Plan, addresses: Sequence[str], seed: int = 0) -> tuple[Cell, ...]:
    """A cell for every node and nodePort with affinity, at most ``CELLS`` of them; none without ``addresses``.

    ``addresses`` are used by nobody else: half of them for the first stage, the others for the second. A nodePort with
    a list of allowed sources is left out, and one behind which there is one pod.
    """
    ours = {pod.address: pod for pod in plan.pods}
    found: list[Cell] = []
    for service in plan.forwarded:
        for port in service.ports:
            if port.node_port is None or not service.affinity_seconds or service.allowed_sources:
                continue
            if not addresses or any(endpoint.address not in ours for endpoint in port.endpoints):
                continue
            for node in plan.nodes:
                local = service.external_traffic_policy is TrafficPolicy.LOCAL
                served = serving(end for end in port.endpoints if not local or end.node == node.name)
                if len(served) > 1 and has(node, "affinity") and node.address in node.serving:
                    target = Target(node.name, node.address, port.node_port, port.protocol)
                    ends = tuple(expected(end, ours[end.address], port.protocol) for end in served)
                    key, drawn = CellKey(CLIENTS, target), _drawn(addresses, len(ends))
                    found.append(Cell(key, service.key, port.port, Depth.CLIENTS, ends, clients=drawn))
    if len(found) <= CELLS:
        return tuple(found)
    start = seed % len(found)
    return tuple(found[i] for i in sorted((start + n * len(found) // CELLS) % len(found) for n in range(CELLS)))


def _drawn(addresses: Sequence[str], pods: int) -> tuple[str, ...]:
    """As many for each of both stages as are wanted, or can be had."""
    each = min(wanted(pods), len(addresses) // 2)
    return (*addresses[:each], *addresses[each : 2 * each])


def wanted(pods: int) -> int:
    """So many clients that each of so many pods has one, but for luck; not beyond what a run can do."""
    return max(FEWEST, min(MOST, stats.coverage_sample(pods, LUCK)))


def fewest_pods(pods: int, clients_seen: int) -> int:
    """The number of pods that have to have clients: fewer are not luck."""
    for few in range(pods - 1, 0, -1):
        if math.comb(pods, few) * (few / pods) ** clients_seen <= LUCK:
            return few + 1
    return 1
