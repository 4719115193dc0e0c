"""How long a lab takes: up, first converge, unchanged converge, verify, down, and how that grows with the nodes.

The sizes are measured in turn, round after round, so that a machine that others use as well is as busy for one as for
another; its load is told beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
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
    found, load = _rounds(given.nodes, given.rounds)
    if given.json:
        print(json.dumps({"load": load, "seconds": found}, indent=2))
        return
    base = found[given.nodes[0]]
    print("| median of", given.rounds, "| " + " | ".join(f"{count} nodes" for count in given.nodes) + " |")
    print("|---|" + "---|" * len(given.nodes))
    for step in STEPS:
        cells = [f"{found[count][step]:.2f} s ({found[count][step] / base[step]:.1f}×)" for count in given.nodes]
        print(f"| {step} | " + " | ".join(cells) + " |")
    print(f"\nLoad average of one minute, before each lab: {', '.join(f'{each:.1f}' for each in load)}")


def _rounds(counts: Sequence[int], rounds: int) -> tuple[dict[int, dict[str, float]], list[float]]:
    """Medians in seconds by size and step, and the load of this machine before each lab."""
    times: dict[int, dict[str, list[float]]] = {count: {step: [] for step in STEPS} for count in counts}
    load = []
    for count in [*counts] * rounds:
        load.append(round(os.getloadavg()[0], 1))
        with tempfile.TemporaryDirectory() as folder:
            _round(Lab.at(Path(folder), "bench", "nspawn"), count, times[count])
        print(
            f"{count} nodes: {', '.join(f'{step} {times[count][step][-1]:.1f} s' for step in STEPS)}", file=sys.stderr
        )
    medians = {
        count: {step: round(statistics.median(each), 3) for step, each in times[count].items()} for count in counts
    }
    return medians, load


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
