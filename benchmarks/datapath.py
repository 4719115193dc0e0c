"""The way through a nodePort against the way straight to the pods: new connections a second, and p99, interleaved.

Three pods on one node, so that every way has the same hops; wrk opens a new connection for each request.
*direct* has no connection tracking, *tracked* goes straight to the pods through a node that tracks connections, the
others go through the nodePort with so many Services loaded.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness.support import clock, process

ROLES = Path(__file__).parents[1] / "playbooks" / "roles"
RESPONDER = ROLES / "workload" / "files" / "responder.py"
NODEPORTD = ROLES / "forwarder" / "files" / "nodeportd"
CLIENT, NODE, PODS = "nphb-client", "nphb-node", ("nphb-pod1", "nphb-pod2", "nphb-pod3")
ADDRESSES = ("10.244.0.2", "10.244.0.3", "10.244.0.4")
HEAD = {"version": 2, "generation": 1, "node": "n1", "backend": "nftables", "cluster_ranges": ["10.244.0.0/16"],
        "checks": []}  # fmt: skip
PLAIN = {"cluster_addresses": [], "external_addresses": [], "affinity_seconds": 0, "health_check_node_port": 0,
         "external_traffic_policy": "Cluster", "internal_traffic_policy": "Cluster", "allowed_sources": []}  # fmt: skip
TRACK = "table inet track {\n chain c {\n  type filter hook prerouting priority 0\n  ct state invalid counter\n }\n}\n"
SPREAD = """
local addresses = {}
local count = 0
function setup(thread)
  count = count + 1
  thread.addr = wrk.lookup(({"10.244.0.2", "10.244.0.3", "10.244.0.4"})[(count - 1) % 3 + 1], "80")[1]
end
"""


def main() -> None:
    """Measure and print a table (or JSON)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, _lab(), _responders():
        ways = _ways(Path(folder))
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, (rules, wrk) in ways.items():
                _inside(NODE, "nft", "-f", str(rules))
                found[way].append(_measure(wrk, given.seconds))
    rate = {way: statistics.median(values[0] for values in runs) for way, runs in found.items()}
    p99 = {way: statistics.median(values[1] for values in runs) for way, runs in found.items()}
    if given.json:
        print(json.dumps({"connections_per_second": rate, "p99_ms": p99}, indent=2))
        return
    print("| way | new connections/s | against direct | against tracked | p99 |\n|---|---|---|---|---|")
    for way in ways:
        ratios = f"{rate[way] / rate['direct']:.2f} | {rate[way] / rate['tracked']:.2f}"
        print(f"| {way} | {rate[way]:,.0f} | {ratios} | {p99[way]:.2f} ms |")


def _ways(folder: Path) -> dict[str, tuple[Path, list[str]]]:
    (folder / "spread.lua").write_text(SPREAD)
    straight = ["-s", str(folder / "spread.lua"), "http://10.244.0.2:80/hostname"]
    through = ["http://10.99.0.1:30000/hostname"]
    texts = {"direct": "", "tracked": TRACK, **{f"nodePort, {n:,} Services": _rules(folder, n) for n in (1, 1000)}}
    ways = {}
    for number, (way, text) in enumerate(texts.items()):
        rules = folder / f"{number}.nft"
        rules.write_text("flush ruleset\n" + text)
        ways[way] = (rules, through if way.startswith("nodePort") else straight)
    return ways


def _rules(folder: Path, services: int) -> str:
    fields = {"port": 80, "node": "n1", "always": False, "terminating": False}
    endpoints = [{"address": address, "pod": f"default/p{n}", **fields} for n, address in enumerate(ADDRESSES)]
    port = {"name": "", "protocol": "TCP", "port": 80, "endpoints": endpoints}
    listed = [
        {"namespace": "default", "name": f"s{n}", **PLAIN, "ports": [{**port, "node_port": 30000 + n}]}
        for n in range(services)
    ]
    state = {**HEAD, "addresses": ["10.99.0.1"], "services": listed}
    file = folder / f"{services}.json"
    file.write_text(json.dumps(state))
    return process.check(["/usr/bin/python3", NODEPORTD, "render", file], what="rendering the rules").out


def _measure(wrk: list[str], seconds: int) -> tuple[float, float]:
    words = ("wrk", "-t3", "-c48", f"-d{seconds}s", "--latency", "-H", "Connection: close", *wrk)
    out = _inside(CLIENT, *words, timeout=seconds + 20)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    assert rate, out
    assert p99, out
    return float(rate[1]), float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]]


@contextmanager
def _lab() -> Iterator[None]:
    names = (CLIENT, NODE, *PODS)
    try:
        for name in names:
            process.check(["ip", "netns", "add", name], what="making a namespace")
            _inside(name, "ip", "link", "set", "lo", "up")
        _cable(CLIENT, "10.99.0.2/24", "client")
        _inside(NODE, "ip", "address", "add", "10.99.0.1/24", "dev", "client")
        _inside(NODE, "ip", "link", "add", "cni0", "type", "bridge")
        _inside(NODE, "ip", "address", "add", "10.244.0.1/24", "dev", "cni0")
        _inside(NODE, "ip", "link", "set", "cni0", "up")
        for number, (name, address) in enumerate(zip(PODS, ADDRESSES, strict=True)):
            _cable(name, f"{address}/24", f"pod{number}")
            _inside(NODE, "ip", "link", "set", f"pod{number}", "master", "cni0")
            _inside(name, "ip", "route", "add", "default", "via", "10.244.0.1")
        _inside(CLIENT, "ip", "route", "add", "10.244.0.0/24", "via", "10.99.0.1")
        _inside(NODE, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _inside(NODE, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=2")
        _inside(CLIENT, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000", "net.ipv4.tcp_tw_reuse=1")
        yield
    finally:
        for name in names:
            process.run(["ip", "netns", "delete", name])


def _cable(name: str, address: str, end: str) -> None:
    _inside(name, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", end, "netns", NODE)
    _inside(name, "ip", "address", "add", address, "dev", "eth0")
    _inside(name, "ip", "link", "set", "eth0", "up")
    _inside(NODE, "ip", "link", "set", end, "up")


@contextmanager
def _responders() -> Iterator[None]:
    running = []
    try:
        for name in PODS:
            env = {"POD_NAME": name, "POD_UID": "1", "POD_LISTENS": "80/TCP"}
            words: list[str | Path] = ["ip", "netns", "exec", name, sys.executable, "-SE", RESPONDER]
            running.append(process.start(words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env}))
        for address in ADDRESSES:
            clock.until(partial(_answers, address), what=f"{address} to answer", within=10)
        yield
    finally:
        for child in running:
            process.end_group(child)


def _answers(address: str) -> None:
    done = process.run(["ip", "netns", "exec", NODE, "curl", "-sf", "-m", "1", f"http://{address}/hostname"])
    if not done.ok:
        raise clock.NotYet(done.last_words())


def _inside(name: str, *words: str, timeout: float = 30) -> str:
    return process.check(["ip", "netns", "exec", name, *words], what="in the benchmark's lab", timeout=timeout).out


if __name__ == "__main__":
    main()
