"""What three virtual machines take: up, first and unchanged converge, verify, a power cut, down; memory and CPU time.

Runs in the folder of the Vagrantfile and destroys its machines in the end; refuses when some are there already.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

from harness.drivers.vagrant import settings
from harness.model.progress import silent
from harness.model.run import Run
from harness.model.verdict import Status
from harness.session import nodes, power, run
from harness.session.lab import Lab
from harness.support import clock

ROOT = Path(__file__).parents[1]
WEB_APP = ROOT / "examples" / "web-app.yaml"
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print a table: medians, and for memory the largest of any machine."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    if settings.created(ROOT):
        print(f"not measured: {ROOT} has machines already")
        return
    times: dict[str, list[tuple[float, float]]] = {}
    largest = 0.0
    for _ in range(given.rounds):
        largest = max(largest, _round(Lab.at(ROOT, "bench", "vagrant"), times))
    print(f"| median of {given.rounds} | wall | CPU of all machines |\n|---|---|---|")
    for step, values in times.items():
        wall, used = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"| {step} | {wall:.0f} s | {used:.0f} s |")
    print(f"| memory of one QEMU, largest | {largest:.0f} MB | |")


def _round(lab: Lab, times: dict[str, list[tuple[float, float]]]) -> float:
    """One life of the machines; returns the largest resident memory of any in MB."""

    def timed(step: str, work: Callable[[], object]) -> object:
        began, used = clock.monotonic(), _cpu_seconds()
        result = work()
        times.setdefault(step, []).append((clock.monotonic() - began, max(0.0, _cpu_seconds() - used)))
        return result

    try:
        timed("up", lambda: nodes.up(lab, lab.driver.usual(), silent))
        timed("first apply", lambda: run.apply_only(lab, [str(WEB_APP)], silent))
        timed("unchanged apply", lambda: run.apply_only(lab, [str(WEB_APP)], silent))
        verified = timed("verify", lambda: run.verify_only(lab, silent))
        assert isinstance(verified, Run)
        assert verified.status is Status.PASS, verified.verdicts
        timed("power cut of one, until it runs what it was given", lambda: power.power_cycle(lab, ["n2"], silent))
        return max(_resident(folder) for folder in _processes())
    finally:
        timed("down", lambda: nodes.down(lab, silent))


def _processes() -> list[Path]:
    """The /proc folders of the machines' processes."""
    wanted = {identity.encode() for identity in settings.created(ROOT).values()}
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted & set(file.read_bytes().split(b"\0")):
                found.append(file.parent)
        except OSError:  # a process that has ended meanwhile
            continue
    return found


def _cpu_seconds() -> float:
    fields = [(folder / "stat").read_text().rpartition(")")[2].split() for folder in _processes()]
    return sum(int(field[11]) + int(field[12]) for field in fields) / _TICKS


def _resident(folder: Path) -> float:
    line = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
