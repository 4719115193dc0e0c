"""The way through a nodePort against the way straight to the pods, interleaved in one run.

Three pods on one node, so that every way has the same hops; in them nginx with one worker, or the harness's own
responder. wrk opens a new connection for each request. *direct* has no connection tracking, *tracked* goes straight to
the pods through a node that tracks connections, *least NAT* is one rule and a masquerade, the least that can make a
nodePort; then kube-proxy's layout, ours, and the forwarder socat. ``--keep-alive`` measures requests on connections
that stay open instead.

On one core (the default) one core is always full of work, and the ways differ in the work for a connection. On all of
them (``--cores all``) the client, the node and the pods share the machine, as in other people's measurements.

Two ratios are told: of rates by the clock, and of connections for each second of processor time that client, node and
pods took, which other work on the machine disturbs less. Behind ± is the standard error of the median.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import resource
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import _kube_proxy
from benchmarks._lab import (
    ADDRESSES,
    CLIENT,
    NODE,
    NODE_ADDRESSES,
    NODEPORTD,
    RELAY_PORT,
    SERVERS,
    inside,
    lab,
    processor_seconds,
    relay,
    serving,
)
from harness.support import process

HEAD = {"version": 2, "generation": 1, "node": "n1", "backend": "nftables", "cluster_ranges": ["10.244.0.0/16"],
        "checks": []}  # fmt: skip
PLAIN = {"cluster_addresses": [], "external_addresses": [], "affinity_seconds": 0, "health_check_node_port": 0,
         "external_traffic_policy": "Cluster", "internal_traffic_policy": "Cluster", "allowed_sources": []}  # fmt: skip
POLICIES: tuple[dict[str, Any], ...] = (
    {"affinity_seconds": 10800},
    {"external_traffic_policy": "Local"},
    {"affinity_seconds": 10800, "external_traffic_policy": "Local", "internal_traffic_policy": "Local"},
    {"allowed_sources": ["10.0.0.0/8"]},
)
TRACK = "table inet track {\n chain c {\n  type filter hook prerouting priority 0\n  ct state invalid counter\n }\n}\n"
LEAST = """
table ip least {
 chain pre {
  type nat hook prerouting priority -100
  ip daddr 10.99.0.0/24 tcp dport 30000 dnat to numgen random mod 3 map {
   0: 10.244.0.2, 1: 10.244.0.3, 2: 10.244.0.4
  }:80
 }
 chain post {
  type nat hook postrouting priority 100
  ct status dnat masquerade
 }
}
"""
SPREAD = """
local count = 0
function setup(thread)
  count = count + 1
  thread.addr = wrk.lookup(({ADDRESSES})[(count - 1) % 3 + 1], "PORT")[1]
end
"""
CLIENTS = {"one": "48", "all": "63"}
"""Connections at once, by the cores."""
KUBE_PROXY = "kube-proxy's layout"
COMPARED = ("direct", "tracked", "least NAT", KUBE_PROXY)


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one round: requests a second, milliseconds that 99 of 100 took at most, processor µs for each."""

    per_second: float
    p99_ms: float
    cpu_us: float


Found = Mapping[str, list[Sample]]
"""The samples of each way, round by round."""


def main() -> None:
    """Measure and print a table (or JSON)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--seconds", type=int, default=1)
    options.add_argument("--server", choices=SERVERS, default="nginx")
    options.add_argument("--cores", choices=CLIENTS, default="one")
    options.add_argument("--ways", default="", help="regular expression of the ways to measure")
    options.add_argument("--keep-alive", action="store_true")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    if given.cores == "one":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name, lab(), serving(SERVERS[given.server], Path(name)), relay(Path(name)):
        ways = {way: how for way, how in _ways(Path(name)).items() if re.search(given.ways, way)}
        found: dict[str, list[Sample]] = {way: [] for way in ways}
        words = [] if given.keep_alive else ["-H", "Connection: close"]
        for _ in range(given.rounds):
            for way, (rules, wrk) in random.sample(list(ways.items()), len(ways)):
                inside(NODE, "nft", "-f", str(rules))
                found[way].append(_measure([f"-c{CLIENTS[given.cores]}", *words, *wrk], given.seconds))
    if given.json:
        print(json.dumps({way: [asdict(each) for each in samples] for way, samples in found.items()}))
        return
    print(table(found, "requests/s" if given.keep_alive else "new connections/s"))


def table(found: Found, what: str) -> str:
    """A Markdown table; ratios are medians of the ratios within each round, by the clock and by processor time."""
    others = [way for way in COMPARED if way in found]
    against = " | ".join(f"against {other}: rate | the same by CPU" for other in others)
    lines = [f"| way | {what} | CPU µs | {against} | p99 |", "|---" * (4 + 2 * len(others)) + "|"]
    for way, samples in found.items():
        rate = statistics.median(each.per_second for each in samples)
        cpu = statistics.median(each.cpu_us for each in samples)
        p99 = statistics.median(each.p99_ms for each in samples)
        ratios = " | ".join(cell for other in others for cell in _ratios(samples, found[other]))
        lines.append(f"| {way} | {rate:,.0f} | {cpu:.1f} | {ratios} | {p99:.2f} ms |")
    return "\n".join(lines)


def _ratios(samples: Sequence[Sample], others: Sequence[Sample]) -> tuple[str, str]:
    pairs = list(zip(samples, others, strict=True))
    return (
        _said([one.per_second / other.per_second for one, other in pairs]),
        _said([other.cpu_us / one.cpu_us for one, other in pairs]),
    )


def _said(ratios: Sequence[float]) -> str:
    """The median and its standard error, by way of the median absolute deviation."""
    middle = statistics.median(ratios)
    spread = 1.4826 * statistics.median(abs(ratio - middle) for ratio in ratios)
    return f"{middle:.3f} ±{1.2533 * spread / math.sqrt(len(ratios)):.3f}"


def _ways(folder: Path) -> dict[str, tuple[Path, list[str]]]:
    straight, through = _spread(folder, ADDRESSES, 80), _spread(folder, NODE_ADDRESSES, 30000)
    kube_proxy = _kube_proxy.table([ADDRESSES], NODE_ADDRESSES, 30000)
    texts = {
        "direct": "",
        "tracked": TRACK,
        "least NAT": LEAST,
        f"{KUBE_PROXY}, the least of it": kube_proxy,
        KUBE_PROXY: kube_proxy + _kube_proxy.FILTERS,
    }
    texts |= {f"nodePort, {n:,} Service{'s' * (n > 1)}": _rules(folder, n) for n in (1, 1000, 10000)}
    ways = {}
    for number, (way, text) in enumerate(texts.items()):
        rules = folder / f"{number}.nft"
        rules.write_text("flush ruleset\n" + text)
        ways[way] = (rules, straight if way in ("direct", "tracked") else through)
    ways["socat"] = (folder / "0.nft", [f"http://10.99.0.1:{RELAY_PORT}/hostname"])
    return ways


def _spread(folder: Path, addresses: Sequence[str], port: int) -> list[str]:
    """The words of wrk that have each of its threads talk to another address."""
    file = folder / f"{port}.lua"
    listed = ", ".join(f'"{address}"' for address in addresses)
    file.write_text(SPREAD.replace("ADDRESSES", listed).replace("PORT", str(port)))
    return ["-s", str(file), f"http://{addresses[0]}:{port}/hostname"]


def _rules(folder: Path, services: int) -> str:
    """Our rules for so many Services: the first is plain, the others have ClusterIPs, affinity and policies."""
    fields = {"port": 80, "node": "n1", "always": False, "terminating": False}
    endpoints = [{"address": address, "pod": f"default/p{n}", **fields} for n, address in enumerate(ADDRESSES)]
    port = {"name": "", "protocol": "TCP", "port": 80}
    listed = [
        {"namespace": "default", "name": f"s{n}", **PLAIN, "cluster_addresses": [f"10.96.{n // 250}.{1 + n % 250}"],
         **(POLICIES[n % len(POLICIES)] if n else {}),
         "ports": [{**port, "node_port": 30000 + n, "endpoints": endpoints if n % 10 != 9 else []}]}
        for n in range(services)
    ]  # fmt: skip
    state = {**HEAD, "addresses": NODE_ADDRESSES, "services": listed}
    file = folder / f"{services}.json"
    file.write_text(json.dumps(state))
    return process.check(["/usr/bin/python3", "-B", NODEPORTD, "render", file], what="rendering the rules").out


def _measure(wrk: list[str], seconds: int) -> Sample:
    before = _client_seconds() + processor_seconds()
    out = inside(CLIENT, "wrk", "-t3", f"-d{seconds}s", "--latency", *wrk, timeout=seconds + 20)
    taken = _client_seconds() + processor_seconds() - before
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    total = re.search(r"(\d+) requests in", out)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    assert rate, out
    assert total, out
    assert p99, out
    return Sample(
        float(rate[1]), float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]], taken / int(total[1]) * 1e6
    )


def _client_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
