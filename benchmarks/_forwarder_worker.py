"""One measurement of ``forwarder_load``, in a network namespace of its own, under the Python that has nftables.

    python3 _forwarder_worker.py nodeportd|kube-proxy SERVICES      prints milliseconds by step as JSON

``kube-proxy`` is a faithful imitation of the layout of its nftables mode (chains for each Service and each endpoint,
anonymous sets), not kube-proxy itself; both are given to libnftables in this process, as text.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "playbooks/roles/forwarder/files"))
sys.path.insert(0, str(Path(__file__).parents[1] / "playbooks/filter_plugins"))

from nodeport import lines  # type: ignore[import-not-found]
from nodeportd import ruleset, state
from nodeportd.daemon import Daemon
from nodeportd.dual import make
from nodeportd.endpoints import Current, Effective, effective
from nodeportd.kernel import Kernel, fresh_network

from benchmarks import _kube_proxy

ENDPOINTS = 3
CHANGES = 9
Times = dict[str, float]
HEAD: dict[str, Any] = {
    "version": 2, "generation": 1, "node": "n1", "backend": "nftables", "addresses": ["192.168.56.11"],
    "cluster_ranges": ["10.244.0.0/16"], "checks": []}  # fmt: skip
PLAIN: dict[str, Any] = {
    "cluster_addresses": [], "external_addresses": [], "affinity_seconds": 0, "health_check_node_port": 0,
    "external_traffic_policy": "Cluster", "internal_traffic_policy": "Cluster", "allowed_sources": []}  # fmt: skip


def document(services: int, first: tuple[str, ...] = (), *, dual: bool = False) -> bytes:
    """A state of so many Services with three endpoints each, half with affinity, half with policy Local.

    ``first`` gives the first one other addresses; ``dual``: all are of both families.
    """
    listed = []
    for number in range(services):
        addresses = first if number == 0 and first else pods(number)
        addresses = (*addresses, *(f"fd00::{address.replace('.', ':')}" for address in addresses if dual))
        place = {"port": 80, "node": "n1", "always": False, "terminating": False}
        endpoints = [
            {"address": address, "pod": f"default/pod-{number}-{index % ENDPOINTS}", **place}
            for index, address in enumerate(addresses)
        ]
        port = {"name": "", "protocol": "TCP", "port": 80, "node_port": 20000 + number, "endpoints": endpoints}
        fields = {**PLAIN, "cluster_addresses": [f"10.96.{number // 250}.{1 + number % 250}"]}
        if number % 2:
            fields |= {"affinity_seconds": 10800}
        if number % 4 > 1:
            fields |= {"external_traffic_policy": "Local"}
        if dual:
            fields |= {"ip_families": ["IPv4", "IPv6"]}
            fields["cluster_addresses"] = [*fields["cluster_addresses"], f"fd00:10:96::{number + 1:x}"]
        listed.append({"namespace": "default", "name": f"service-{number}", **fields, "ports": [port]})
    here = {"addresses": [*HEAD["addresses"], "fd00:56::11"], "cluster_ranges": [*HEAD["cluster_ranges"], "fd00::/96"]}
    return json.dumps({**HEAD, **(here if dual else {}), "services": listed}).encode()


def pods(number: int) -> tuple[str, ...]:
    """The addresses of a Service's three pods."""
    return tuple(f"10.{200 + index}.{number // 250}.{1 + number % 250}" for index in range(ENDPOINTS))


def timed(action: Callable[[], object]) -> float:
    """Milliseconds that it took."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def _both_times(found: Times, name: str, action: Callable[[], object]) -> None:
    """By the clock, and by the processor, which other work on the machine disturbs less."""
    before = time.process_time()
    found[name] = timed(action)
    found[f"{name}, CPU"] = (time.process_time() - before) * 1000


def nodeportd(services: int) -> Times:
    """Our layout, by nodeportd's own modules, from the state to the kernel."""
    raw = document(services)
    whole = effective(state.parse(raw))
    found = {"read the state file": timed(lambda: state.parse(raw))}
    with _kernel_memory(found):
        _both_times(found, "load into an empty kernel", partial(make().apply, whole))
    found["peak memory of the process, MB"] = _peak()
    _both_times(found, "write everything anew", partial(make().apply, whole))
    found["look for drift"] = timed(partial(make().drift, whole))
    another, fewer = (document(services, first=(*pods(0)[:2], *more)) for more in (("10.210.0.1",), ()))
    kernel = Kernel()
    for name, other in (("endpoint", another), ("number of endpoints", fewer)):
        there, back = (ruleset.steps(*pair) for pair in _both_ways(whole, effective(state.parse(other))))
        found[f"one {name} changed, kernel"] = _median(lambda: _go(kernel, there), lambda: _go(kernel, back))  # noqa: B023 - run at once
    found |= _flipped(raw) | _rewritten("one endpoint changed in the file, all", raw, another)
    both = [document(services, dual=True, first=first) for first in (pods(0), (*pods(0)[:2], "10.210.0.1"))]
    return found | _rewritten("the same with IPv6 beside it", *both)


@contextmanager
def _kernel_memory(found: Times) -> Iterator[None]:
    """Measures what the kernel keeps for what is done within, by a control group; nothing where there is none."""
    groups = Path("/sys/fs/cgroup/memory")
    own = groups / f"nphb-{os.getpid()}"
    if not (groups / "memory.kmem.usage_in_bytes").exists():
        yield
        return
    own.mkdir()
    try:
        (own / "cgroup.procs").write_text(str(os.getpid()))
        before = int((own / "memory.kmem.usage_in_bytes").read_text())
        yield
        kept = int((own / "memory.kmem.usage_in_bytes").read_text()) - before
        found["memory of the kernel, MB"] = kept / 1e6
    finally:
        (groups / "cgroup.procs").write_text(str(os.getpid()))
        own.rmdir()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _flipped(raw: bytes) -> Times:
    """A pod that is not ready any more and again, from that moment to the kernel."""
    current, backend = Current(), make()
    wanted = state.parse(raw)
    backend.apply(current.bring(wanted))
    pod = next(iter(wanted.services)).ports[0].endpoints[0].pod
    flip = _median(
        lambda: backend.apply(current.bring(wanted, {pod})), lambda: backend.apply(current.bring(wanted))
    )  # fmt: skip
    return {"one endpoint not ready, all": flip}


def _rewritten(name: str, *documents: bytes) -> Times:
    """One endpoint's change in the state file, from the signal to the status: all that nodeportd does of it."""
    clock, cpu = [], []
    with tempfile.TemporaryDirectory() as folder, selectors.DefaultSelector() as selector:
        file, told = Path(folder, "state.json"), Path(folder, "status.json")
        daemon = Daemon(file, told, selector)
        for turn in range(2 * CHANGES + 1):
            document = json.loads(documents[turn % 2]) | {"generation": 1001 + turn}
            file.write_text(lines(document, ["checks", "services"]))
            del document
            times: Times = {}
            _both_times(times, name, daemon.reload)
            said = json.loads(told.read_text())
            if said["error"] or said["generation"] != 1001 + turn:
                raise RuntimeError(f"nodeportd did not take the state over: {said}")
            clock.append(times[name])
            cpu.append(times[f"{name}, CPU"])
    return {name: statistics.median(clock[1:]), f"{name}, CPU": statistics.median(cpu[1:])}


def _both_ways(one: Effective, other: Effective) -> tuple[tuple[Effective, Effective], tuple[Effective, Effective]]:
    return (one, other), (other, one)


def _go(kernel: Kernel, steps: tuple[ruleset.Step, ...]) -> None:
    for step in steps:
        kernel.carry_out(step)


def _median(there: Callable[[], object], back: Callable[[], object]) -> float:
    """The median of several changes there and back."""
    return statistics.median(timed(action) for _ in range(CHANGES) for action in (there, back))


def kube_proxy(services: int) -> Times:
    """kube-proxy's layout: loaded, and one endpoint changed as kube-proxy does it."""
    kernel, text = Kernel(), _kube_proxy.table([pods(number) for number in range(services)], ["192.168.56.11"], 20000)
    found: Times = {}
    with _kernel_memory(found):
        _both_times(found, "load into an empty kernel", partial(kernel.apply, text))
    found["peak memory of the process, MB"] = _peak()
    _both_times(found, "write everything anew", partial(kernel.apply, f"delete table ip kube-proxy\n{text}"))
    changes = [_kube_proxy_change(turn) for turn in range(CHANGES)]
    found["one endpoint changed, kernel"] = statistics.median(
        timed(lambda: kernel.apply(change))  # noqa: B023 - run at once
        for change in changes
    )
    return found


def _kube_proxy_change(turn: int) -> str:
    """The third endpoint of the first Service is replaced by another one."""
    names = ["endpoint-0-0", "endpoint-0-1", f"endpoint-0-new{turn}"]
    old = "endpoint-0-2" if turn == 0 else f"endpoint-0-new{turn - 1}"
    added = _kube_proxy.endpoint(names[2], f"10.210.0.{1 + turn}")
    return (
        f"table ip kube-proxy {{\n{added}}}\nflush chain ip kube-proxy service-0\n"
        f"add rule ip kube-proxy service-0 {_kube_proxy.pick(names)}\ndelete chain ip kube-proxy {old}\n"
    )


LAYOUTS = {"nodeportd": nodeportd, "kube-proxy": kube_proxy}

if __name__ == "__main__":
    with fresh_network():
        print(json.dumps(LAYOUTS[sys.argv[1]](int(sys.argv[2]))))
