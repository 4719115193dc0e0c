"""The lab of ``datapath``: client, node and three pods, each a network namespace; servers, and the relay."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness.support import clock, netns, process

ROLES = Path(__file__).parents[1] / "playbooks" / "roles"
RESPONDER = ROLES / "workload" / "files" / "responder.py"
NODEPORTD = ROLES / "forwarder" / "files" / "nodeportd"
CLIENT, NODE, PODS = "nphb-client", "nphb-node", ("nphb-pod1", "nphb-pod2", "nphb-pod3")
ADDRESSES = ("10.244.0.2", "10.244.0.3", "10.244.0.4")
NODE_ADDRESSES = ("10.99.0.1", "10.99.0.3", "10.99.0.4")
"""As many as pods: a client has 64,000 source ports for each address that it talks to."""
RELAY_PORT = 31000
NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid;
events {{ worker_connections 4096; }}
http {{
 access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
 uwsgi_temp_path {folder}; scgi_temp_path {folder};
 server {{ listen 80 backlog=4096; location / {{ return 200 "{name}"; }} }}
}}
"""


@contextmanager
def lab() -> Iterator[None]:
    """Within: the namespaces are there, and cabled."""
    names = (CLIENT, NODE, *PODS)
    with netns.added(*names):
        for name in names:
            inside(name, "ip", "link", "set", "lo", "up")
        _cable(CLIENT, "10.99.0.2/24", "client")
        for address in NODE_ADDRESSES:
            inside(NODE, "ip", "address", "add", f"{address}/24", "dev", "client")
        inside(NODE, "ip", "link", "add", "cni0", "type", "bridge")
        inside(NODE, "ip", "address", "add", "10.244.0.1/24", "dev", "cni0")
        inside(NODE, "ip", "link", "set", "cni0", "up")
        for number, (name, address) in enumerate(zip(PODS, ADDRESSES, strict=True)):
            _cable(name, f"{address}/24", f"pod{number}")
            inside(NODE, "ip", "link", "set", f"pod{number}", "master", "cni0")
            inside(name, "ip", "route", "add", "default", "via", "10.244.0.1")
        inside(CLIENT, "ip", "route", "add", "10.244.0.0/24", "via", "10.99.0.1")
        inside(NODE, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        inside(NODE, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=2")
        inside(CLIENT, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000", "net.ipv4.tcp_tw_reuse=1")
        # Timestamps without an offset for each peer: a masquerade that changes ports (kube-proxy's) else gives a pod a
        # SYN that is older than the last connection of the same tuple, which it leaves unanswered.
        inside(CLIENT, "sysctl", "-qw", "net.ipv4.tcp_timestamps=2")
        yield


def _cable(name: str, address: str, end: str) -> None:
    inside(name, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", end, "netns", NODE)
    inside(name, "ip", "address", "add", address, "dev", "eth0")
    inside(name, "ip", "link", "set", "eth0", "up")
    inside(NODE, "ip", "link", "set", end, "up")


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
def serving(server: Callable[[str, Path], list[str | Path]], folder: Path) -> Iterator[None]:
    """Within: every pod answers on port 80."""
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


@contextmanager
def relay(folder: Path) -> Iterator[None]:
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


def inside(name: str, *words: str, timeout: float = 30) -> str:
    """What a program says that has to succeed in one of the namespaces."""
    return process.check(["ip", "netns", "exec", name, *words], what="in the benchmark's lab", timeout=timeout).out


def processor_seconds() -> float:
    """What the pods' and the node's programs took so far, softirqs that ran within them and ended children included.

    Other work on the machine does not count, so this is steadier than anything by the clock.
    """
    pids = [pid for name in (NODE, *PODS) for pid in process.run(["ip", "netns", "pids", name]).out.split()]
    return sum(_taken(Path("/proc") / pid) for pid in pids)


def _taken(own: Path) -> float:
    try:
        running = int((own / "schedstat").read_text().split()[0]) / 1e9
        ended = (own / "stat").read_text().rpartition(")")[2].split()[13:15]
    except OSError:  # a relay's child that is over by now: its parent tells of it
        return 0.0
    return running + sum(map(int, ended)) / os.sysconf("SC_CLK_TCK")
