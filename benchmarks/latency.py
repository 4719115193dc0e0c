"""Healthy probes one by one: is any of them slower than the way straight to a pod?

Three nodes with ``web-app.yaml``. The outside client asks every nodePort and, by routes laid for this, every pod
itself, in turns of a few seconds, slowly enough that probes do not wait for each other. *Slow* is a probe that takes
5 ms longer than the median of those straight to the pods; probes during which the prober itself was held up are
counted apart. What the straight way shows is the noise of the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import probes
from harness.drivers import Wish
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Attempt, Job, Outcome, Target
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.session import nodes, run
from harness.session.lab import Lab
from harness.support import process

WEB_APP = Path(__file__).parents[1] / "examples" / "web-app.yaml"
MARGIN_MS = 5.0
TURN = 250
"""Probes of one way before the other has its turn."""


def main() -> None:
    """Measure and print a table (or JSON)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--probes", type=int, default=4000)
    options.add_argument("--rate", type=float, default=200)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab.at(Path(folder), "bench", "nspawn")
        try:
            nodes.up(lab, Wish(3), silent)
            plan = run.apply_only(lab, [str(WEB_APP)], silent)
            found = measured(lab.cluster(), plan, given.probes, probes.Pace(concurrency=4, rate=given.rate))
        finally:
            nodes.down(lab, silent)
    print(json.dumps(found, indent=2) if given.json else table(found))


def measured(cluster: Cluster, plan: Plan, count: int, pace: probes.Pace) -> dict[str, dict[str, float]]:
    """What became of so many probes of each way."""
    ways = {"straight to the pods": list(_pods(cluster, plan)), "nodePort": list(_node_ports(cluster, plan))}
    attempts: dict[str, list[Attempt]] = {way: [] for way in ways}
    with probes.open_probers(cluster, [OUTSIDE], pace=pace) as probers:
        for _ in range(-(-count // TURN)):
            for way, targets in ways.items():
                jobs = [Job(OUTSIDE, target, -(-TURN // len(targets))) for target in targets]
                attempts[way].extend(probers.ask({OUTSIDE: jobs}).attempts)
    middle = statistics.median(attempt.total_ms or 0 for attempt in attempts["straight to the pods"])
    return {way: _told(found[:count], middle + MARGIN_MS) for way, found in attempts.items()}


def table(found: dict[str, dict[str, float]]) -> str:
    """A Markdown table."""
    columns = list(next(iter(found.values())))
    rows = [
        f"| {way} | " + " | ".join(f"{values[column]:g}" for column in columns) + " |" for way, values in found.items()
    ]
    return "\n".join(["| way | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|", *rows])


def _told(attempts: list[Attempt], limit: float) -> dict[str, float]:
    times = sorted(attempt.total_ms or 0 for attempt in attempts)
    slow = [attempt for attempt in attempts if (attempt.total_ms or 0) > limit]
    return {
        "probes": len(attempts),
        "failed": sum(attempt.outcome is not Outcome.OK for attempt in attempts),
        "median ms": round(statistics.median(times), 2),
        "99.9 % ms": round(times[len(times) * 999 // 1000], 2),
        "longest ms": round(times[-1], 2),
        "slow": sum(not attempt.stalled for attempt in slow),
        "slow, the prober held up": sum(attempt.stalled for attempt in slow),
    }


def _node_ports(cluster: Cluster, plan: Plan) -> Iterator[Target]:
    for service in plan.services:
        for port in service.ports:
            for node in cluster.nodes:
                if port.node_port:
                    yield Target(node.name, node.address, port.node_port, port.protocol)


def _pods(cluster: Cluster, plan: Plan) -> Iterator[Target]:
    hosts = {node.name: node.address for node in cluster.nodes}
    assert cluster.client_netns
    for pod in plan.pods:
        route = ["ip", "-netns", cluster.client_netns.name, "route", "replace", pod.address, "via", hosts[pod.node]]
        process.check(route, what="the straight way to a pod")
        for listen in pod.listens:
            yield Target(pod.node, pod.address, listen.port, listen.protocol)


if __name__ == "__main__":
    main()
