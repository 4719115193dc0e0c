"""How quickly a dead pod is out of rotation on every node, and what the checks cost a node."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.drivers import Wish
from harness.model.cluster import Cluster, Node
from harness.model.plan import PlannedPod
from harness.model.progress import silent
from harness.session import remote, run
from harness.session.lab import Lab
from harness.support import clock
from tests.lab.nodeportd_rig import FOUR, SIX, Net, Rig, inside, port, service
from tests.lab.test_readiness import check

PORT = 30081
SERVICE = f"""
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{type: NodePort, selector: {{app: web}}, ports: [{{port: 80, nodePort: {PORT}}}]}}
"""
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: web-%d, labels: {app: web}}
spec:
  restartPolicy: Never
  containers:
    - {name: web, image: nginx, ports: [{containerPort: 80}],
       readinessProbe: {httpGet: {path: /readyz, port: 80}, periodSeconds: 1}}
"""
LAST = "seconds from a kill to the last failed request, on any node"
LOST = "failed requests, of about 100/s on each of 3 nodes"


def main() -> None:
    """Measure and print two tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--checks", type=int, default=100)
    options.add_argument("--seconds", type=float, default=20)
    given = options.parse_args()
    found = deaths(given.kills)
    print(f"| {given.kills} kills, 3 nodes, periodSeconds 1 | median | worst |\n|---|---|---|")
    for what, values in found.items():
        print(f"| {what} | {statistics.median(values):.2f} | {max(values):.2f} |")
    print(f"\n| {given.checks} checks, each every second | % of a core |\n|---|---|")
    for net in (FOUR, SIX):
        for kind in ("tcp", "http"):
            print(f"| {kind}, {net.family} | {cost(kind, given.checks, given.seconds, net):.1f} |")


def deaths(kills: int) -> dict[str, list[float]]:
    """What clients see of pods that are killed and stay dead."""
    found: dict[str, list[float]] = {LAST: [], LOST: []}
    with tempfile.TemporaryDirectory() as folder:
        lab, manifest = Lab.at(Path(folder), "bench", "nspawn"), Path(folder) / "web.yaml"
        try:
            cluster = lab.driver.up(Wish(3), lambda _text: None)
            manifest.write_text(SERVICE + "".join(POD % number for number in range(3)))
            plan = run.apply_only(lab, [str(manifest)], silent)
            for turn in range(kills):
                pod = plan.pods[turn % len(plan.pods)]
                after = _killed(cluster, pod)
                found[LAST].append(max(after, default=0.0))
                found[LOST].append(float(len(after)))
        finally:
            lab.driver.down(lambda _text: None)
    return found


def _killed(cluster: Cluster, pod: PlannedPod) -> list[float]:
    """Kill a pod under load and start it again; when requests failed, in seconds after the kill."""
    unit = f"nodeport-pod@{hashlib.sha256(pod.key.encode()).hexdigest()[:8]}.service"
    kill = f"cut -d' ' -f1 /proc/uptime; systemctl kill --signal=KILL {unit}"
    with loaded(cluster) as failures:
        killed = float(remote.run(cluster, pod.node, ["sh", "-c", kill], timeout=20).out)
        _await(cluster, pod.key, ready=False)
    remote.run(cluster, pod.node, ["systemctl", "start", unit], timeout=20)
    _await(cluster, pod.key, ready=True)
    return [at - killed for at in failures]


def _await(cluster: Cluster, key: str, *, ready: bool) -> None:
    def look() -> None:
        for node in cluster.nodes:
            status = json.loads(remote.run(cluster, node.name, ["cat", "/run/nodeport/status.json"], timeout=20).out)
            if (key in status["ready"]) != ready:
                raise clock.NotYet(f"{node.name}: {status['unready']}")

    clock.until(look, what=f"{key} to be {'ready' if ready else 'out'}", within=30, every=0.1)


@contextmanager
def loaded(cluster: Cluster) -> Iterator[list[float]]:
    """Within: about 100 new connections a second to every node; collects when they failed, on the machine's clock."""
    failures: list[float] = []
    assert cluster.client_netns is not None
    outside, over = cluster.client_netns.name, threading.Event()

    def client(node: Node) -> None:
        for _ in range(100_000):
            if over.wait(0.01):
                return
            try:
                with inside(outside), socket.create_connection((node.address, PORT), 2) as sock:
                    sock.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                    if not sock.recv(1000):
                        raise ConnectionError("closed")
            except OSError:
                failures.append(time.clock_gettime(time.CLOCK_BOOTTIME))

    threads = [threading.Thread(target=client, args=(node,)) for node in cluster.nodes]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        over.set()
        for thread in threads:
            thread.join()


def cost(kind: str, checks: int, seconds: float, net: Net) -> float:
    """What part of a core, in per cent, nodeportd takes for so many checks a second that all succeed."""
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder), net=net) as rig, _answering(rig, kind):
        addresses = [f"{net.gateway[:-1]}{100 + number}" for number in range(checks)]
        for address in addresses:
            rig.ip(rig.pod, f"address add {address}/{'24' if net is FOUR else '64'} dev eth0{' nodad' * (net is SIX)}")
        wanted = rig.whole(1, service("web", port(30008, *addresses, target=90)))
        rig.converge({**wanted, "checks": [check(address, 90, kind) for address in addresses]})
        assert len(rig.status()["ready"]) == checks
        before, began = rig.cpu_seconds(), clock.monotonic()
        threading.Event().wait(seconds)
        return 100 * (rig.cpu_seconds() - before) / (clock.monotonic() - began)


@contextmanager
def _answering(rig: Rig, kind: str) -> Iterator[None]:
    """Within: somebody answers at port 90 of every address of the pod's namespace, until the other side hangs up."""
    with inside(rig.pod):
        server = socket.create_server(("::", 90), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    if kind == "http" and connection.recv(1000):
                        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    connection.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)
        server.close()


if __name__ == "__main__":
    main()
