"""How long a lab takes: up, first converge, unchanged converge, verify, down, and how that grows with the nodes."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.drivers import Wish
from harness.model.progress import silent
from harness.model.run import Run
from harness.model.verdict import Status
from harness.session import nodes, run
from harness.session.lab import Lab
from harness.support import clock

WEB_APP = Path(__file__).parents[1] / "examples" / "web-app.yaml"
STEPS = ("up", "first apply", "unchanged apply", "verify", "down")


def main() -> None:
    """Measure and print a table (or JSON)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, nargs="+", default=[3, 10, 25])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    found = {count: _rounds(count, given.rounds) for count in given.nodes}
    if given.json:
        print(json.dumps(found, indent=2))
        return
    base = found[given.nodes[0]]
    print("| median of", given.rounds, "| " + " | ".join(f"{count} nodes" for count in given.nodes) + " |")
    print("|---|" + "---|" * len(given.nodes))
    for step in STEPS:
        cells = [f"{found[count][step]:.2f} s ({found[count][step] / base[step]:.1f}×)" for count in given.nodes]
        print(f"| {step} | " + " | ".join(cells) + " |")


def _rounds(count: int, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {step: [] for step in STEPS}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            _round(Lab.at(Path(folder), "bench", "nspawn"), count, times)
    return {step: round(statistics.median(values), 3) for step, values in times.items()}


def _round(lab: Lab, count: int, times: dict[str, list[float]]) -> None:
    def timed(step: str, work: Callable[[], object]) -> object:
        began = clock.monotonic()
        result = work()
        times[step].append(clock.monotonic() - began)
        return result

    try:
        timed("up", lambda: nodes.up(lab, Wish(count), silent))
        timed("first apply", lambda: run.apply_only(lab, [str(WEB_APP)], silent))
        timed("unchanged apply", lambda: run.apply_only(lab, [str(WEB_APP)], silent))
        verified = timed("verify", lambda: run.verify_only(lab, silent))
        assert isinstance(verified, Run)
        assert verified.status is Status.PASS, verified.verdicts
    finally:
        timed("down", lambda: nodes.down(lab, silent))


if __name__ == "__main__":
    main()
