"""What runs now, as rows for ``harness get``: asked of the nodes, not remembered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.model.cluster import Cluster, Node
from harness.model.observation import Versions
from harness.model.plan import Plan
from harness.probes import versions
from harness.probes.status import OF_IPV6
from harness.reports import tables
from harness.session import remote

# The age of process 1: /proc/uptime in a container is the host's.
_LOOK = 'uname -r; . /etc/os-release; echo "$PRETTY_NAME"; ps -o etimes= -p 1'
_SHELL = ("sh", "-c", _LOOK)
_LIST = "cut -d' ' -f1 /proc/uptime; /usr/local/lib/nodeport/podctl list; cat /run/nodeport/status.json || true"
_PODS = ("sh", "-c", _LIST)

UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list for people: headings and rows, of which only ``narrow`` columns are shown unless it shall be wide."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    narrow: int

    def show(self, *, wide: bool) -> str:
        """The list in kubectl's manner."""
        columns = len(self.headings) if wide else self.narrow
        return tables.table(self.headings[:columns], [row[:columns] for row in self.rows])

    def as_objects(self) -> list[dict[str, str]]:
        """The list for scripts: all columns, by their headings."""
        names = [heading.lower().replace("-", "_").replace("(s)", "s") for heading in self.headings]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def versions_of(cluster: Cluster) -> dict[str, Versions]:
    """What each node runs on, in its own words; all empty for one that does not answer."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = pool.map(lambda node: _ask(cluster, node.name, versions.QUESTION), cluster.nodes)
        return {node.name: versions.read("\n".join(said)) for node, said in zip(cluster.nodes, answers, strict=True)}


def nodes(cluster: Cluster, plan: Plan | None) -> Listing:
    """NAME STATUS ROLES AGE VERSION, and wide INTERNAL-IP OS-IMAGE KERNEL-VERSION FORWARDER."""
    headings = ("NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "FORWARDER")
    cordoned = {node.name for node in plan.nodes if node.unschedulable} if plan else set()
    with ThreadPoolExecutor(max_workers=16) as pool:
        rows = list(pool.map(lambda node: _node(cluster, node, node.name in cordoned), cluster.nodes))
    runs = {node.name: node.backend for node in plan.nodes} if plan else {}
    rows = [(*row, runs.get(row[0], UNKNOWN)) for row in rows]
    return Listing(headings, rows, narrow=5)


def _node(cluster: Cluster, node: Node, cordoned: bool) -> tuple[str, ...]:
    disabled = ",SchedulingDisabled" if cordoned else ""
    answer = _ask(cluster, node.name, _SHELL)
    if len(answer) < 3:
        return (node.name, f"NotReady{disabled}", "", UNKNOWN, node.release, node.address, UNKNOWN, UNKNOWN)
    kernel, image, uptime = answer[:3]
    return (node.name, f"Ready{disabled}", "", tables.age(float(uptime)), node.release, node.address, image, kernel)


def pods(cluster: Cluster, plan: Plan | None) -> Listing:
    """NAMESPACE NAME READY STATUS RESTARTS AGE, and wide IP NODE."""
    headings = ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE")
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = pool.map(lambda node: _ask(cluster, node.name, _PODS), cluster.nodes)
        found = {node.name: answer for node, answer in zip(cluster.nodes, answers, strict=True)}
    return Listing(headings, list(_pods(plan, found)), narrow=6)


def _pods(plan: Plan | None, found: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    for pod in plan.pods if plan else ():
        answer = found.get(pod.node, ())
        known = {entry["uid"]: entry for entry in json.loads(answer[1])} if len(answer) > 1 else {}
        state = known.get(pod.uid)
        runs = state is not None and state["state"] == "active"
        ready = runs and not {pod.key, f"{pod.key}{OF_IPV6}"} & _unready(answer).keys()
        status = "Unknown" if len(answer) < 2 else "Running" if runs else "Failed" if state else "Pending"
        restarts = str(state["restarts"]) if state else "0"
        seconds = float(answer[0]) - float(state["since_boot"]) if state and state.get("since_boot") else -1.0
        shown_age = tables.age(seconds) if seconds >= 0 else UNKNOWN
        yield (pod.namespace, pod.name, f"{int(ready)}/1", status, restarts, shown_age, pod.address, pod.node)


def _unready(answer: Sequence[str]) -> Mapping[str, object]:
    """The pods that a node does not use, as nodeportd there says; of a pod, its own node is asked, as in Kubernetes."""
    said = json.loads(answer[2]) if len(answer) > 2 else {}
    unready: Mapping[str, object] = said.get("unready", {})
    return unready


def running(cluster: Cluster, plan: Plan) -> frozenset[str]:
    """The keys of the pods that are ready."""
    return frozenset(f"{row[0]}/{row[1]}" for row in pods(cluster, plan).rows if row[2] == "1/1")


def services(_cluster: Cluster, plan: Plan | None) -> Listing:
    """NAMESPACE NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE, and wide SELECTOR."""
    headings = ("NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR")
    rows = [
        (service.namespace, service.name, str(service.type), ",".join(service.cluster_addresses) or "None",
         ",".join(service.external_addresses), tables.ports(service), UNKNOWN, tables.selector(service))
        for service in (plan.services if plan else ())
    ]  # fmt: skip
    return Listing(headings, rows, narrow=7)


def endpoints(_cluster: Cluster, plan: Plan | None) -> Listing:
    """NAMESPACE NAME ENDPOINTS AGE."""
    rows = [
        (service.namespace, service.name, tables.endpoints(service), UNKNOWN)
        for service in (plan.services if plan else ())
    ]
    return Listing(("NAMESPACE", "NAME", "ENDPOINTS", "AGE"), rows, narrow=4)


def _ask(cluster: Cluster, node: str, words: Sequence[str]) -> list[str]:
    """The lines that a node answers; none when it does not."""
    try:
        done = remote.as_root(cluster, node, words, timeout=15)
    except HarnessError:
        return []
    return done.out.strip().splitlines() if done.ok else []


KINDS = {"nodes": nodes, "pods": pods, "svc": services, "services": services, "endpoints": endpoints}
ALIASES = {"node": "nodes", "no": "nodes", "pod": "pods", "po": "pods", "service": "svc", "ep": "endpoints"}
