"""How long nodeportd takes to load and to change its rules, and what memory, beside kube-proxy's layout in one run.

Services have three endpoints each. Every measurement has a network namespace of its own; those of one round come in
random order, so that a busy moment of the machine meets either layout. Needs root and python3-nftables.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import defaultdict
from pathlib import Path

from harness.support import process

WORKER = Path(__file__).with_name("_forwarder_worker.py")
SERVICES = (1, 1000, 10000)
KUBE_PROXY_MOST = 10000
"""10,000 Services take kube-proxy's layout about two minutes each time."""

Found = dict[tuple[str, int], dict[str, float]]
"""Medians in milliseconds by step, for each layout and number of Services."""


def main() -> None:
    """Measure and print a table (or JSON)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--services", type=int, nargs="+", default=list(SERVICES))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--kube-proxy-most", type=int, default=KUBE_PROXY_MOST)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    found = measured(given.services, given.rounds, given.kube_proxy_most)
    if given.json:
        listed = [{"layout": layout, "services": count, "ms": steps} for (layout, count), steps in found.items()]
        print(json.dumps(listed, indent=2))
    else:
        print(table(found, given.services, given.rounds))


def measured(services: list[int], rounds: int, kube_proxy_most: int) -> Found:
    """The medians over all rounds; kube-proxy's layout only up to so many Services."""
    jobs = [("nodeportd", count) for count in services]
    jobs += [("kube-proxy", count) for count in services if count <= kube_proxy_most]
    seen: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for job in random.sample(jobs, len(jobs)):
            seen[job].append(once(*job))
    return {job: {step: statistics.median(times[step] for times in seen[job]) for step in seen[job][0]} for job in jobs}


def once(layout: str, services: int) -> dict[str, float]:
    """One measurement, in a network namespace that the worker makes."""
    argv: list[str | Path] = ["/usr/bin/python3", "-B", WORKER, layout, str(services)]
    times: dict[str, float] = json.loads(process.check(argv, what=f"measure {layout}", timeout=900).out)
    return times


def table(found: Found, services: list[int], rounds: int) -> str:
    """A Markdown table; in brackets how many times as long kube-proxy's layout took."""
    steps = list(found["nodeportd", services[0]])
    head = f"| ms if not said, median of {rounds} (kube-proxy's layout) | "
    lines = [
        head + " | ".join(f"{count:,} Service{'s' * (count > 1)}" for count in services) + " |",
        "|---|" + "---|" * len(services),
    ]
    lines += [f"| {step} | " + " | ".join(cell(found, step, count) for count in services) + " |" for step in steps]
    return "\n".join(lines)


def cell(found: Found, step: str, count: int) -> str:
    """Our time, and the other layout's with the ratio where it was measured."""
    ours = found["nodeportd", count][step]
    theirs = found.get(("kube-proxy", count), {}).get(step)
    return f"{ours:.2f}" + (f" ({theirs:.2f}, {theirs / ours:.0f}×)" if theirs is not None else "")


if __name__ == "__main__":
    main()
