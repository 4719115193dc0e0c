"""A data plane in plain Python, broken in every way we know: the whole loop of probing, judging and diagnosing.

The plane knows nothing of verdicts. It moves single connections by the rules of the kernel: PREROUTING before DNAT,
FORWARD after it, a SYN lost before POSTROUTING draws another pod when it is sent again, a SYN lost later does not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from harness import verdicts
from harness.model.observation import OUTSIDE, Attempt, Job, NodeFacts, Outcome, Target
from harness.model.plan import Endpoint, Listen, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService
from harness.model.verdict import Diagnosis, Status, Verdict
from harness.model.workload import Protocol, ServiceType

LADDER = (0.0, 1000.0, 2000.0, 3000.0)
CLIENT = "192.168.56.1"


def make_plan(nodes: int = 3, pods: int = 3, protocol: Protocol = Protocol.TCP, services: int = 1) -> Plan:
    """Pods dealt over nodes in turn, all of them behind every Service."""
    planned_nodes = tuple(PlannedNode(f"n{i}", f"192.168.56.{10 + i}", f"10.244.{i}.0/24") for i in range(1, nodes + 1))
    planned_pods = tuple(
        PlannedPod(
            "default", f"web-{i}", f"uid-{i}", f"n{1 + i % nodes}", f"10.244.{1 + i % nodes}.{2 + i // nodes}", {}, (),
            (Listen(80, protocol),),
        )
        for i in range(pods)
    )  # fmt: skip
    endpoints = tuple(Endpoint(pod.key, pod.node, pod.address, 80) for pod in planned_pods)
    planned_services = tuple(
        PlannedService(
            "default", f"web-{i}", ServiceType.NODE_PORT, {"app": "web"},
            (PlannedPort("", protocol, 80, 80, 30008 + i, endpoints),),
        )
        for i in range(services)
    )  # fmt: skip
    return Plan("lab", 7, planned_nodes, planned_pods, planned_services)


@dataclass
class Plane:
    """What is broken: nodes, pods, and pairs of a node and a pod (or of two nodes), by name."""

    plan: Plan
    rng: random.Random
    no_table: set[str] = field(default_factory=set)
    no_rule: set[str] = field(default_factory=set)
    no_prerouting: set[str] = field(default_factory=set)
    forwarder_down: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    left_out: set[tuple[str, str]] = field(default_factory=set)
    weights: dict[tuple[str, str], float] = field(default_factory=dict)
    pre_dnat: set[str] = field(default_factory=set)
    forward_drop: set[str] = field(default_factory=set)
    no_forward: set[str] = field(default_factory=set)
    no_masquerade: set[str] = field(default_factory=set)
    blackhole: set[tuple[str, str]] = field(default_factory=set)
    no_route: set[tuple[str, str]] = field(default_factory=set)
    cut: set[tuple[str, str]] = field(default_factory=set)
    wrong_address: set[tuple[str, str]] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    impostors: dict[str, tuple[str, str]] = field(default_factory=dict)
    port_shared: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    no_ssh: set[str] = field(default_factory=set)
    client_cut: bool = False
    loss: dict[str, float] = field(default_factory=dict)
    answers_anyway: dict[str, str] = field(default_factory=dict)
    swallows: set[str] = field(default_factory=set)
    turns: int = -1
    made: int = 0

    def probe(self, jobs: Sequence[Job]) -> tuple[list[Attempt], dict[str, str]]:
        """Every attempt of the jobs, and the vantage points that SSH does not reach."""
        lost = {job.vantage: "connection timed out" for job in jobs if job.vantage in self.down | self.no_ssh}
        attempts = [self.attempt(j.vantage, j.target) for j in jobs if j.vantage not in lost for _ in range(j.attempts)]
        self.made += len(attempts)
        return attempts, lost

    def attempt(self, vantage: str, target: Target) -> Attempt:
        """One connection to a nodePort or to a pod."""
        pods = {(pod.address): pod for pod in self.plan.pods}
        if target.address in pods:
            return self._made(vantage, target, self._arrive(vantage, pods[target.address], own=True), 0.0, own=True)
        node, own = target.node, vantage == target.node
        if node in self.down or (self.client_cut and vantage == OUTSIDE) or (node in self.pre_dnat and not own):
            return self._made(vantage, target, Outcome.TIMEOUT, 0.0)
        endpoints = self._endpoints(target)
        if not endpoints and node in self.answers_anyway:
            return self._made(vantage, target, (self.answers_anyway[node], ""), 0.0)
        if not endpoints and node in self.swallows:
            return self._made(vantage, target, Outcome.TIMEOUT, 0.0)
        unruled = node in self.no_table | self.no_rule or (node in self.no_prerouting and not own)
        if unruled or not endpoints:
            return self._made(vantage, target, Outcome.REFUSED, 0.0)
        for rung in LADDER:
            if self.rng.random() < self.loss.get(node, 0.0):
                continue
            pod = self._pick(node, endpoints)
            if (node, pod.name) in self.blackhole:
                continue
            return self._made(vantage, target, self._through(node, pod, own), rung, node=node, own=own, pod=pod)
        return self._made(vantage, target, Outcome.TIMEOUT, 0.0)

    def _endpoints(self, target: Target) -> list[PlannedPod]:
        keys = [
            endpoint.pod
            for service in self.plan.services
            for port in service.ports
            if port.node_port == target.port
            for endpoint in port.endpoints
        ]
        return [pod for pod in self.plan.pods if pod.key in keys]

    def _pick(self, node: str, pods: list[PlannedPod]) -> PlannedPod:
        listed = [pod for pod in pods if (node, pod.name) not in self.left_out]
        if self.turns >= 0:
            self.turns += 1
            return listed[self.turns % len(listed)]
        if not self.weights:
            return listed[int(self.rng.random() * len(listed))]
        return self.rng.choices(listed, [self.weights.get((node, pod.name), 1.0) for pod in listed])[0]

    def _through(self, node: str, pod: PlannedPod, own: bool) -> Outcome | tuple[str, str]:
        """After DNAT on ``node``; ``own`` when the node itself opened the connection."""
        if not own and node in self.forward_drop | self.no_forward:
            return Outcome.TIMEOUT
        if (node, pod.name) in self.wrong_address:
            return Outcome.TIMEOUT
        if not own and pod.node != node and node in self.no_masquerade:
            return Outcome.TIMEOUT
        return self._arrive(node, pod, own=own)

    def _arrive(self, node: str, pod: PlannedPod, own: bool) -> Outcome | tuple[str, str]:
        """From ``node`` to the pod itself."""
        if (node, pod.node) in self.no_route or (own and (node, pod.name) in self.blackhole):
            return Outcome.UNREACHABLE
        deaf = pod.node in self.down | self.forward_drop | self.no_forward or (node, pod.node) in self.cut
        if pod.node != node and deaf:
            return Outcome.TIMEOUT
        if pod.name in self.gone:
            return Outcome.UNREACHABLE
        if pod.name in self.dead:
            return Outcome.REFUSED
        if pod.name in self.hung:
            return Outcome.HANG
        if pod.name in self.impostors and not (pod.name in self.port_shared and self.rng.random() < 0.5):
            return self.impostors[pod.name]
        return pod.name, pod.uid

    def _made(
        self,
        vantage: str,
        target: Target,
        came: Outcome | tuple[str, str],
        after: float,
        node: str = "",
        own: bool = False,
        pod: PlannedPod | None = None,
    ) -> Attempt:
        if isinstance(came, Outcome):
            return Attempt(vantage, target, came, 40000)
        masked = node not in self.no_masquerade or own
        source = f"{self.plan.node(node).address if masked and pod and node else CLIENT}:40000"
        connect = after + 0.2 + self.rng.random()
        uid = came[1] if target.protocol is Protocol.TCP else ""
        return Attempt(vantage, target, Outcome.OK, 40000, connect, connect + 1, came[0], uid, source)

    def facts(self) -> list[NodeFacts]:
        """What every node says of itself."""
        return [self._facts(node.name) for node in self.plan.nodes]

    def _facts(self, node: str) -> NodeFacts:
        if node in self.down | self.no_ssh:
            return NodeFacts(node, reachable=False, error="connection timed out")
        ranges = {other.name: f"{other.pod_range} via {other.address}" for other in self.plan.nodes}
        return NodeFacts(
            node,
            reachable=True,
            generation=6 if node in self.stale else 7,
            forwarder_running=node not in self.forwarder_down,
            table_present=node not in self.no_table,
            masquerade_present=node not in self.no_masquerade | self.no_table,
            ip_forward=node not in self.no_forward,
            missing_routes=tuple(ranges[to] for by, to in sorted(self.no_route) if by == node),
            pods_not_running=tuple(
                pod.key for pod in self.plan.pods if pod.node == node and pod.name in self.dead | self.gone
            ),
        )


def verify(plane: Plane) -> tuple[tuple[Verdict, ...], tuple[Diagnosis, ...]]:
    """What a session does."""
    plan = plane.plan
    cells = verdicts.expectations(plan, (OUTSIDE, *(node.name for node in plan.nodes)))
    tallies = verdicts.Tallies()
    for _ in range(200):
        needs = verdicts.next_round(cells, tallies)
        if not needs:
            break
        attempts, lost = plane.probe([need.job for need in needs])
        tallies = verdicts.add(tallies, needs, attempts, lost)
    else:
        raise AssertionError("the judge never had enough")
    facts = plane.facts()
    found = verdicts.judge(cells, tallies, facts, generation=plan.generation, seed=1)
    direct, _ = plane.probe(verdicts.controls(cells, tallies))
    return found, verdicts.diagnose(cells, tallies, found, facts, direct, generation=plan.generation)


def told(diagnoses: Sequence[Diagnosis]) -> list[tuple[str, str, str]]:
    return [(each.cause, each.node, each.pod) for each in diagnoses]


def plane_of(plan: Plan, seed: int, **faults: object) -> Plane:
    plane = Plane(plan, random.Random(seed))  # noqa: S311 - repeatable on purpose
    for name, value in faults.items():
        setattr(plane, name, value)
    return plane


# web-0 is on n1, web-1 on n2, web-2 on n3
FAULTS: dict[str, tuple[dict[str, object], list[tuple[str, str, str]]]] = {
    "rule missing on one node": ({"no_rule": {"n2"}}, [("rule-missing", "n2", "")]),
    "rule missing in prerouting alone": ({"no_prerouting": {"n2"}}, [("rule-missing", "n2", "")]),
    "whole ruleset flushed": ({"no_table": {"n3"}}, [("ruleset-flushed", "n3", "")]),
    "nodeportd stopped": ({"no_table": {"n3"}, "forwarder_down": {"n3"}}, [("forwarder-down", "n3", "")]),
    "nodeportd stopped, rules remain": ({"forwarder_down": {"n1"}}, [("forwarder-down", "n1", "")]),
    "stale generation": (
        {"stale": {"n1"}, "left_out": {("n1", "web-2")}},
        [("forwarder-stale", "n1", "")],
    ),
    "pod dead": ({"dead": {"web-1"}}, [("endpoint-dead", "n2", "default/web-1")]),
    "pod hangs": ({"hung": {"web-1"}}, [("app-hangs", "n2", "default/web-1")]),
    "pod without network": ({"gone": {"web-1"}}, [("endpoint-unreachable", "n2", "default/web-1")]),
    "endpoint left out on one node": (
        {"left_out": {("n1", "web-1")}},
        [("endpoint-left-out", "n1", "default/web-1")],
    ),
    "endpoint at double weight on one node": (
        {"weights": {("n3", "web-0"): 2.0}},
        [("endpoint-weight", "n3", "default/web-0")],
    ),
    "endpoint at half weight on one node": (
        {"weights": {("n3", "web-0"): 0.5}},
        [("endpoint-weight", "n3", "default/web-0")],
    ),
    "pre-DNAT drop": ({"pre_dnat": {"n1"}}, [("pre-dnat-drop", "n1", "")]),
    "FORWARD drop": ({"forward_drop": {"n2"}}, [("forward-drop", "n2", "")]),
    "ip_forward=0": ({"no_forward": {"n2"}}, [("ip-forward", "n2", "")]),
    "masquerade missing": ({"no_masquerade": {"n1"}}, [("masquerade-missing", "n1", "")]),
    "endpoint blackholed on the ingress node": (
        {"blackhole": {("n1", "web-2")}},
        [("endpoint-blackholed", "n1", "default/web-2")],
    ),
    "stale pod answers": (
        {"impostors": {"web-1": ("web-1", "uid-of-yesterday")}},
        [("foreign-responder", "n2", "default/web-1")],
    ),
    "foreign program answers": (
        {"impostors": {"web-1": ("", "")}},
        [("foreign-responder", "n2", "default/web-1")],
    ),
    "foreign program shares the port": (
        {"impostors": {"web-1": ("thief", "")}, "port_shared": {"web-1"}},
        [("foreign-responder", "n2", "default/web-1")],
    ),
    "node down": ({"down": {"n2"}}, [("node-down", "n2", "")]),
    "SSH lost, all else well": ({"no_ssh": {"n2"}}, [("ssh-lost", "n2", "")]),
    "route missing between two nodes": ({"no_route": {("n1", "n3")}}, [("route-missing", "n1", "")]),
    "backend unreachable from one node": ({"cut": {("n1", "n3")}}, [("backend-unreachable", "n1", "default/web-2")]),
    "wrong address in a rule": ({"wrong_address": {("n1", "web-2")}}, [("stale-rule", "n1", "default/web-2")]),
    "nobody gets into one node": ({"cut": {("n1", "n3"), ("n2", "n3")}}, [("path-broken", "n3", "")]),
    "client cut off": ({"client_cut": True}, [("outside-path", "", "")]),
    "random loss on one node": ({"loss": {"n2": 0.1}}, [("packet-loss", "n2", "")]),
    "rule missing and another pod dead": (
        {"no_rule": {"n1"}, "dead": {"web-2"}},
        [("rule-missing", "n1", ""), ("endpoint-dead", "n3", "default/web-2")],
    ),
    "FORWARD drop and an endpoint left out elsewhere": (
        {"forward_drop": {"n2"}, "left_out": {("n1", "web-2")}},
        [("forward-drop", "n2", ""), ("endpoint-left-out", "n1", "default/web-2")],
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(name: str, seed: int) -> None:
    faults, expected = FAULTS[name]
    found, diagnoses = verify(plane_of(make_plan(), seed, **faults))
    assert any(verdict.status in (Status.FAIL, Status.ERROR) for verdict in found)
    assert sorted(told(diagnoses)) == sorted(expected)


@pytest.mark.parametrize("name", ["pod dead", "rule missing on one node", "pre-DNAT drop", "FORWARD drop", "node down"])
def test_fault_is_named_among_ten_nodes(name: str) -> None:
    faults, expected = FAULTS[name]
    _, diagnoses = verify(plane_of(make_plan(nodes=10, pods=10), 5, **faults))
    assert told(diagnoses) == expected


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"dead": {"web-0"}}, [("endpoint-dead", "n1", "default/web-0")]),
        ({"no_rule": {"n2"}}, [("rule-missing", "n2", "")]),
        ({"no_masquerade": {"n2"}}, [("masquerade-missing", "n2", "")]),
        ({"pre_dnat": {"n2"}}, [("pre-dnat-drop", "n2", "")]),
        ({"no_forward": {"n2"}}, [("ip-forward", "n2", "")]),
        ({"impostors": {"web-0": ("web-0", "old")}}, [("foreign-responder", "n1", "default/web-0")]),
    ],
)
def test_fault_with_one_pod(faults: dict[str, object], expected: list[tuple[str, str, str]]) -> None:
    _, diagnoses = verify(plane_of(make_plan(pods=1), 3, **faults))
    assert told(diagnoses) == expected


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({}, []),
        ({"answers_anyway": {"n2": "old-pod"}}, [("unexpected-answer", "n2", "")]),
        ({"swallows": {"n2"}}, [("black-hole", "n2", "")]),
    ],
)
def test_service_without_endpoints(faults: dict[str, object], expected: list[tuple[str, str, str]]) -> None:
    found, diagnoses = verify(plane_of(make_plan(pods=0), 3, **faults))
    assert told(diagnoses) == expected
    assert {verdict.status for verdict in found} == ({Status.PASS, Status.FAIL} if expected else {Status.PASS})


def test_same_cause_on_two_ports_is_one_diagnosis() -> None:
    _, diagnoses = verify(plane_of(make_plan(services=2), 1, no_table={"n1"}))
    assert told(diagnoses) == [("ruleset-flushed", "n1", "")]


def test_a_healed_pod_is_never_called_slow() -> None:
    found, diagnoses = verify(plane_of(make_plan(), 1, blackhole={("n1", "web-2")}))
    failed = {verdict.check for verdict in found if verdict.status is Status.FAIL and verdict.node == "n1"}
    assert failed == {"answers", "coverage"}
    assert "heal late" in diagnoses[0].text


def test_turns_are_reported_and_pass() -> None:
    found, diagnoses = verify(plane_of(make_plan(pods=9), 1, turns=0))
    assert {verdict.status for verdict in found} == {Status.PASS}
    assert not diagnoses
    assert any("round-robin" in verdict.summary for verdict in found if verdict.check == "spread")


@pytest.mark.parametrize("pods", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("protocol", list(Protocol))
def test_healthy_with_so_many_pods(pods: int, protocol: Protocol) -> None:
    found, diagnoses = verify(plane_of(make_plan(pods=pods, protocol=protocol), pods))
    assert {verdict.status for verdict in found} == {Status.PASS}
    assert not diagnoses


def test_three_hundred_healthy_runs_raise_no_alarm_and_cost_what_is_promised() -> None:
    plan, made = make_plan(), 0
    for seed in range(300):
        plane = plane_of(plan, seed)
        found, diagnoses = verify(plane)
        assert {verdict.status for verdict in found} == {Status.PASS}, seed
        assert not diagnoses
        made += plane.made
    assert made / 300 < 6 * 400 + 6 * 60


def test_a_dead_cell_costs_little() -> None:
    plane = plane_of(make_plan(), 1, pre_dnat={"n1", "n2", "n3"})
    verify(plane)
    assert plane.made < 9 * 40 + 3 * 400 + 100
