"""Case folders: a matrix of counts in, verdicts and diagnoses out. The format: tests/cases/verdicts/README.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from harness import verdicts
from harness.model.observation import OUTSIDE, Attempt, NodeFacts, Outcome, Target
from harness.model.plan import Endpoint, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService
from harness.model.verdict import Status
from harness.model.workload import Protocol, ServiceType, TrafficPolicy
from tests.casefolder import agree

CASES = sorted(path for path in (Path(__file__).parents[2] / "cases" / "verdicts").iterdir() if path.is_dir())
OUTCOMES: dict[str, Outcome] = {outcome.name.lower(): outcome for outcome in Outcome if outcome is not Outcome.OK}
WELL = {
    "generation": 7,
    "forwarder_running": True,
    "table_present": True,
    "masquerade_present": True,
    "ip_forward": True,
    "reachable": True,
}


def plan_of(case: Mapping[str, Any]) -> Plan:
    others, serving = case.get("other_addresses", {}), case.get("nodeport_addresses", {})
    nodes = tuple(
        PlannedNode(
            name, f"192.168.56.{11 + i}", f"10.244.{i}.0/24",
            other_addresses=tuple(others.get(name, ())), nodeport_addresses=tuple(serving.get(name, ())),
        )
        for i, name in enumerate(case["nodes"])
    )  # fmt: skip
    ranges = {node.name: node.pod_range.removesuffix("0/24") for node in nodes}
    pods = tuple(
        PlannedPod("default", name, f"uid-{name}", node, f"{ranges[node]}{2 + i}", {}, (), ())
        for i, (name, node) in enumerate(case["pods"].items())
    )
    endpoints = tuple(Endpoint(pod.key, pod.node, pod.address, 80) for pod in pods)
    port = PlannedPort("", Protocol(case.get("protocol", "TCP")), 80, 80, 30008, endpoints)
    service = PlannedService(
        "default", "web", ServiceType.NODE_PORT, {"app": "web"}, (port,),
        affinity_seconds=case.get("affinity_seconds", 0),
        external_traffic_policy=TrafficPolicy(case.get("external_traffic_policy", "Cluster")),
        allowed_sources=tuple(case.get("allowed_sources", ())),
        internal_traffic_policy=TrafficPolicy(case.get("internal_traffic_policy", "Cluster")),
        cluster_addresses=("10.97.0.1",) if case.get("inside") else (),
        other_proxy=case.get("other_proxy", ""),
    )  # fmt: skip
    return Plan("lab", 7, nodes, pods, (service,))


def fitting(rows: Mapping[str, Any], vantage: str, where: str, otherwise: Any) -> Any:
    """The entry ``vantage > where``, or ``* > where``, or ``vantage > *``, or the default."""
    for key in (f"{vantage} > {where}", f"* > {where}", f"{vantage} > *"):
        if key in rows:
            return rows[key]
    return otherwise


def counts_of(row: Mapping[str, Any]) -> verdicts.Counts:
    answers = {f"default/{name}": times for name, times in row.items() if "-" in name and not name.startswith("?")}
    wrong = {name[1:]: times for name, times in row.items() if name.startswith("?")}
    failures: dict[Outcome, int] = {OUTCOMES[name]: times for name, times in row.items() if name in OUTCOMES}
    n = sum(answers.values()) + sum(wrong.values()) + sum(failures.values())
    held_up = row.get("held_up", 0)
    sources = {row["seen_as"]: n} if "seen_as" in row else {}
    clients = clients_of(answers, row.get("astray", 0)) if row.get("clients") else {}
    return verdicts.Counts(n + held_up, answers, wrong, failures, row.get("late", 0), held_up, sources, clients=clients)


def clients_of(answers: Mapping[str, int], astray: int) -> dict[tuple[str, str], int]:
    """Clients that asked five times each; so many of them got an answer of another pod too."""
    pods = [pod for pod, times in answers.items() for _ in range(times // 5)]
    found = {(f"198.18.0.{number}", pod): 5 for number, pod in enumerate(pods)}
    for number in range(astray):
        found[f"198.18.0.{number}", next(pod for pod in answers if pod != pods[number])] = 1
    return found


def well(cell: verdicts.Cell) -> Mapping[str, Any]:
    """What is seen of a cell when all is well."""
    if cell.depth is verdicts.Depth.SILENT:
        return {"timeout": 4}
    if cell.depth is verdicts.Depth.CLIENTS:
        return {endpoint.hostname: 90 for endpoint in cell.endpoints} | {"clients": True}
    if cell.depth is verdicts.Depth.STICKY:
        return {cell.endpoints[0].hostname: 40}
    seen = {"seen_as": cell.source} if cell.source else {}
    return {endpoint.hostname: 400 for endpoint in cell.endpoints} | seen or {"refused": 6}


def tallies_of(case: Mapping[str, Any], cells: tuple[verdicts.Cell, ...]) -> verdicts.Tallies:
    found = {}
    for cell in cells:
        place = f"{cell.node} ({cell.at})" if cell.at else cell.node
        where = place if cell.way is verdicts.Way.NODE_PORT else str(cell.way)
        row = fitting(case.get("rows", {}), cell.vantage, where, None)
        first = counts_of(row or well(cell))
        again = counts_of(row["again"]) if row and "again" in row else first
        found[cell.key] = verdicts.Tally(first, again if row else None)
    return verdicts.Tallies(found, case.get("lost", {}))


def directs_of(case: Mapping[str, Any], plan: Plan) -> list[Attempt]:
    found = []
    for node in plan.nodes:
        for pod in plan.pods:
            said = fitting(case.get("directs", {}), node.name, pod.name, "ok")
            target = Target(pod.node, pod.address, 80, plan.services[0].ports[0].protocol)
            if said == "ok":
                found.append(Attempt(node.name, target, Outcome.OK, 1, 1.0, 2.0, pod.name, pod.uid))
            elif said.startswith("?"):
                found.append(Attempt(node.name, target, Outcome.OK, 1, 1.0, 2.0, said[1:]))
            else:
                found.append(Attempt(node.name, target, OUTCOMES[said], 1))
    return found


def facts_of(case: Mapping[str, Any]) -> list[NodeFacts]:
    said = case.get("facts", {})
    return [msgspec.convert({"node": name, **WELL, **said.get(name, {})}, NodeFacts) for name in case["nodes"]]


def outcome_of(case: Mapping[str, Any]) -> str:
    plan = plan_of(case)
    cells = verdicts.expectations(plan, (OUTSIDE, *case["nodes"]), case.get("addresses"))
    cells += verdicts.inside(plan) if case.get("inside") else ()
    cells += verdicts.clients(plan, [f"198.18.1.{n}" for n in range(200)]) if case.get("clients") else ()
    tallies, facts = tallies_of(case, cells), facts_of(case)
    found = verdicts.judge(cells, tallies, facts, generation=7, seed=1)
    diagnoses = verdicts.diagnose(cells, tallies, found, facts, directs_of(case, plan), generation=7)
    lines = [f"{sum(verdict.status is Status.PASS for verdict in found)} of {len(found)} verdicts PASS"]
    lines += [f"{v.status} {v.check}: {v.subject}: {v.summary}" for v in found if v.status is not Status.PASS]
    for each in diagnoses:
        lines += ["", f"{each.cause} node={each.node or '-'} pod={each.pod or '-'}", each.title, each.text]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_case(folder: Path) -> None:
    agree(folder, "expected.txt", outcome_of(yaml.safe_load((folder / "input.yaml").read_text())))
