"""How long changes take: from the begin of the command until every node leads to every new pod and to no old one."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from harness.drivers import Wish
from harness.model.progress import silent
from harness.session import drill, nodes, run, scenarios
from harness.session.lab import Lab

WEB_APP = Path(__file__).parents[1] / "examples" / "web-app.yaml"
PLAYS = ("scale-up", "scale-down", "rolling-restart", "pod-killed", "forwarder-killed")


def main() -> None:
    """Drill a lab of its own and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--forwarder", default="nftables")
    given = options.parse_args()
    done: dict[str, list[float]] = {play: [] for play in PLAYS}
    last: dict[str, list[float]] = {play: [] for play in PLAYS}
    lost: dict[str, list[int]] = {play: [] for play in PLAYS}
    asked = 0
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab.at(Path(folder), "bench", "nspawn")
        try:
            nodes.up(lab, Wish(3), silent)
            run.apply_only(replace(lab, forwarders=(given.forwarder,)), [str(WEB_APP)], silent)
            for _ in range(given.rounds):
                found = drill.drill(lab, None, scenarios.chosen(lab, PLAYS, destructive=False), 200, silent)
                asked += found.asked
                for each in found.scenarios:
                    times = [at for course in each.courses for at in _turning(course.first_answer, course.last_answer)]
                    done[each.name].append(each.ended)
                    last[each.name].append(max(times, default=0.0))
                    lost[each.name].append(sum(course.lost for course in each.courses))
        finally:
            nodes.down(lab, silent)
    print(f"{given.forwarder}: {asked} requests, load {os.getloadavg()[0]:.1f}\n")
    print("| | effective on every node | command over | requests lost |\n|---|---|---|---|")
    for play in PLAYS:
        effective = f"{statistics.median(last[play]):.2f} s" if any(last[play]) else "–"
        print(f"| {play} | {effective} | {statistics.median(done[play]):.2f} s | {sum(lost[play])} |")


def _turning(first: dict[str, float | None], last: dict[str, float | None]) -> list[float]:
    return [at for at in (*first.values(), *last.values()) if at is not None]


if __name__ == "__main__":
    main()
