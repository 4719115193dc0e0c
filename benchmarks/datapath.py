"""The way through a nodePort against the way straight to the pods: new connections a second, and p99, interleaved.

Three pods on one node, so that every way has the same hops; in them nginx with one worker, or the harness's own
responder. wrk opens a new connection for each request. *direct* has no connection tracking, *tracked* goes straight to
the pods through a node that tracks connections, *least NAT* is one rule and a masquerade, the least that can make a
nodePort; then kube-proxy's layout, ours, and the forwarder socat. ``--keep-alive`` measures requests on connections
that stay open instead.

Everything runs on one core: the ways differ in the work for a connection, and one core is always full of it. On several
cores the 64,000 source ports of the one client are all in use within a second, and that is measured instead.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import _kube_proxy
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
RELAY_PORT = 31000
TRACK = "table inet track {\n chain c {\n  type filter hook prerouting priority 0\n  ct state invalid counter\n }\n}\n"
LEAST = """
table ip least {
 chain pre {
  type nat hook prerouting priority -100
  ip daddr 10.99.0.1 tcp dport 30000 dnat to numgen random mod 3 map { 0: 10.244.0.2, 1: 10.244.0.3, 2: 10.244.0.4 }:80
 }
 chain post {
  type nat hook postrouting priority 100
  ct status dnat masquerade
 }
}
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid;
events {{ worker_connections 4096; }}
http {{
 access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
 uwsgi_temp_path {folder}; scgi_temp_path {folder};
 server {{ listen 80 backlog=4096; location / {{ return 200 "{name}"; }} }}
}}
"""
SPREAD = """
local addresses = {}
local count = 0
function setup(thread)
  count = count + 1
  thread.addr = wrk.lookup(({"10.244.0.2", "10.244.0.3", "10.244.0.4"})[(count - 1) % 3 + 1], "80")[1]
end
"""

Runs = list[tuple[float, float]]
"""Of each round: new connections a second, and the 99th percentile of the requests' milliseconds."""


def main() -> None:
    """Measure and print a table (or JSON)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--seconds", type=int, default=1)
    options.add_argument("--server", choices=SERVERS, default="nginx")
    options.add_argument("--keep-alive", action="store_true")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with (
        tempfile.TemporaryDirectory() as folder,
        _lab(),
        _serving(SERVERS[given.server], Path(folder)),
        _relay(Path(folder)),
    ):
        ways = _ways(Path(folder))
        found: dict[str, Runs] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, (rules, wrk) in ways.items():
                _inside(NODE, "nft", "-f", str(rules))
                words = wrk if given.keep_alive else ["-H", "Connection: close", *wrk]
                found[way].append(_measure(words, given.seconds))
    if given.json:
        print(json.dumps({way: {"per_second": rate(runs), "p99_ms": p99(runs)} for way, runs in found.items()}))
        return
    what = "requests/s" if given.keep_alive else "new connections/s"
    print(f"| way | {what} | against direct | against tracked | against least NAT | p99 |")
    print("|---|---|---|---|---|---|")
    for way, runs in found.items():
        ratios = " | ".join(f"{_ratio(runs, found[other]):.2f}" for other in ("direct", "tracked", "least NAT"))
        print(f"| {way} | {rate(runs):,.0f} | {ratios} | {p99(runs):.2f} ms |")


def rate(runs: Runs) -> float:
    """The median of the new connections a second."""
    return statistics.median(run[0] for run in runs)


def p99(runs: Runs) -> float:
    """The median of the milliseconds that 99 of 100 requests took at most."""
    return statistics.median(run[1] for run in runs)


def _ratio(runs: Runs, others: Runs) -> float:
    """The median of the ratios within each round, in which the machine was as busy for both."""
    return statistics.median(run[0] / other[0] for run, other in zip(runs, others, strict=True))


def _ways(folder: Path) -> dict[str, tuple[Path, list[str]]]:
    (folder / "spread.lua").write_text(SPREAD)
    straight = ["-s", str(folder / "spread.lua"), "http://10.244.0.2:80/hostname"]
    through = ["http://10.99.0.1:30000/hostname"]
    kube_proxy = _kube_proxy.table([ADDRESSES], "10.99.0.1", 30000)
    texts = {"direct": "", "tracked": TRACK, "least NAT": LEAST, "kube-proxy's layout": kube_proxy}
    texts |= {f"nodePort, {n:,} Services": _rules(folder, n) for n in (1, 1000)}
    ways = {}
    for number, (way, text) in enumerate(texts.items()):
        rules = folder / f"{number}.nft"
        rules.write_text("flush ruleset\n" + text)
        ways[way] = (rules, straight if way in ("direct", "tracked") else through)
    ways["socat"] = (folder / "0.nft", [f"http://10.99.0.1:{RELAY_PORT}/hostname"])
    return ways


@contextmanager
def _relay(folder: Path) -> Iterator[None]:
    """The relay of the forwarder socat, with one nodePort."""
    targets = [[address, 80] for address in ADDRESSES]
    route = {"service": "default/s", "address": "10.99.0.1", "protocol": "tcp", "port": RELAY_PORT, "inside": [],
             "everywhere": targets, "outside": targets, "affinity_seconds": 0, "allowed_sources": []}  # fmt: skip
    (folder / "routes.json").write_text(json.dumps([route]))
    env = [f"RUNTIME_DIRECTORY={folder}", f"NODEPORT_SOCAT_ROUTES={folder / 'routes.json'}"]
    words: list[str | Path] = ["ip", "netns", "exec", NODE, "env", *env, "/usr/bin/python3", NODEPORTD, "relay"]
    running = process.start(words)
    try:
        clock.until(partial(_answers, f"10.99.0.1:{RELAY_PORT}"), what="the relay to answer", within=10)
        yield
    finally:
        process.end_group(running)


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
    words = ("wrk", "-t3", "-c48", f"-d{seconds}s", "--latency", *wrk)
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
        # Timestamps without an offset for each peer: a masquerade that changes ports (kube-proxy's) else gives a pod a
        # SYN that is older than the last connection of the same tuple, which it leaves unanswered.
        _inside(CLIENT, "sysctl", "-qw", "net.ipv4.tcp_timestamps=2")
        yield
    finally:
        for name in names:
            process.run(["ip", "netns", "delete", name])


def _cable(name: str, address: str, end: str) -> None:
    _inside(name, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", end, "netns", NODE)
    _inside(name, "ip", "address", "add", address, "dev", "eth0")
    _inside(name, "ip", "link", "set", "eth0", "up")
    _inside(NODE, "ip", "link", "set", end, "up")


def _responder(name: str, _folder: Path) -> list[str | Path]:
    return ["env", f"POD_NAME={name}", "POD_UID=1", "POD_LISTENS=80/TCP", sys.executable, "-SE", RESPONDER]


def _nginx(name: str, folder: Path) -> list[str | Path]:
    if shutil.which("nginx") is None:
        raise SystemExit("nginx is not here: install nginx-light and stop its service, or say --server responder")
    settings = folder / f"{name}.conf"
    settings.write_text(NGINX.format(name=name, folder=folder))
    return ["nginx", "-p", folder, "-e", "stderr", "-c", settings]


SERVERS = {"nginx": _nginx, "responder": _responder}


@contextmanager
def _serving(server: Callable[[str, Path], list[str | Path]], folder: Path) -> Iterator[None]:
    running = []
    try:
        for name in PODS:
            words = ["ip", "netns", "exec", name, *server(name, folder)]
            running.append(process.start(words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}))
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
