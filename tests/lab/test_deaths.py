"""Pods and nodes that die and come back, on real nodes: who still uses them, who says so, and what mends it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness import probes
from harness.drivers import Wish
from harness.errors import HarnessError
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Job, Outcome, Target
from harness.model.plan import Plan
from harness.model.progress import Listener, silent
from harness.model.verdict import Status
from harness.model.workload import Protocol
from harness.session import inspect, run, survey
from harness.session.lab import Lab
from harness.support import clock, process
from tests.lab.faults import UNDISTURBED, awaited, on
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

WEB, FRAIL = 30080, 30081
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: nginx
          ports: [{containerPort: 80}]
          readinessProbe: {httpGet: {path: /readyz, port: 80}, periodSeconds: 1, failureThreshold: 2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: frail}
spec: {type: NodePort, selector: {app: frail}, ports: [{port: 80, nodePort: 30081}]}
"""
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: frail-%d, labels: {app: frail}}
spec:
  restartPolicy: Never
  containers:
    - {name: web, image: nginx, ports: [{containerPort: 80}], readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}}
"""
NEVER = MANIFEST.replace("path: /readyz", 'path: "/echo?code=503"')
"""The same with pods that answer, but say that they are not ready."""

SOON = 5.0
"""Seconds within which a dead pod is out of rotation; the period is 1 s, but the machine may be busy."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_nodes(tmp_path_factory.mktemp("deaths")) as lab:
        yield lab


@pytest.fixture(scope="module")
def first_words(lab: Lab) -> list[str]:
    """What was said as pods that do not get ready were applied to empty nodes."""
    said: list[str] = []
    apply(lab, text=NEVER, listener=lambda event: said.append(str(event)))
    return said


@pytest.fixture(scope="module")
def applied(lab: Lab, first_words: list[str]) -> Lab:
    """The lab with pods that do get ready."""
    assert first_words
    apply(lab)
    return lab


@pytest.fixture
def plan(applied: Lab, cluster: Cluster) -> Plan:
    return planned(applied, cluster)


def planned(lab: Lab, cluster: Cluster) -> Plan:
    kept = lab.applied_plan(cluster)
    assert kept is not None
    return kept


def apply(lab: Lab, frail: int = 3, *, text: str = MANIFEST, listener: Listener = silent) -> Plan:
    """Apply the manifest, with so many frail pods."""
    file = lab.folder / "manifest.yaml"
    file.write_text(text + "".join(POD % number for number in range(1, frail + 1)))
    return run.apply_only(lab, [str(file)], listener)


def unit(key: str) -> str:
    return f"nodeport-pod@{hashlib.sha256(key.encode()).hexdigest()[:8]}.service"


def home(plan: Plan, key: str) -> str:
    return next(pod.node for pod in plan.pods if pod.key == key)


def of(plan: Plan, app: str) -> list[str]:
    return [pod.key for pod in plan.pods if pod.labels["app"] == app]


def passing(cluster: Cluster, plan: Plan) -> None:
    """Every node uses every pod, and the survey says so."""
    for node in cluster.nodes:
        on(cluster, node.name, UNDISTURBED)
    found = survey.survey(cluster, plan, silent)
    wrong = [verdict for verdict in found.verdicts if verdict.status is not Status.PASS and verdict.check != "sample"]
    assert [str(verdict) for verdict in wrong] == []


def held(cluster: Cluster, key: str, *nodes: str) -> dict[str, float]:
    """Wait until these nodes do not use a pod; since when, in seconds of the machine that all of them share."""
    found = {}
    for node in nodes:
        on(cluster, node, awaited(f"'{key}' in unready"))
        found[node] = float(status(cluster, node)["unready"][key]["since"])
    return found


def causes(found: survey.Survey) -> set[tuple[str, str, str]]:
    return {(each.cause, each.node, each.pod) for each in found.diagnoses}


def asked(cluster: Cluster, port: int, *nodes: str, attempts: int = 60) -> set[Outcome]:
    """What becomes of new connections from outside to a nodePort of these nodes."""
    jobs = [
        Job(OUTSIDE, Target(node.name, node.address, port, Protocol.TCP), attempts)
        for node in cluster.nodes
        if node.name in nodes
    ]
    with probes.open_probers(cluster, (OUTSIDE,), seed=1) as probers:
        return {attempt.outcome for attempt in probers.ask({OUTSIDE: jobs}).attempts}


def test_pods_that_do_not_get_ready_are_said_and_red(lab: Lab, cluster: Cluster, first_words: list[str]) -> None:
    plan = planned(lab, cluster)
    web = of(plan, "web")
    for node in cluster.nodes:
        assert any(f"{node.name} does not use" in said and web[0] in said for said in first_words), first_words[-3:]
    assert asked(cluster, WEB, *(node.name for node in cluster.nodes), attempts=3) == {Outcome.REFUSED}
    found = survey.survey(cluster, plan, silent)
    assert causes(found) == {("endpoint-unready", home(plan, key), key) for key in web}
    assert all("HTTP 503 for /echo?code=503" in diagnosis.title for diagnosis in found.diagnoses)


def test_a_killed_pod_leaves_every_node_and_stays_red_until_it_is_mended(
    lab: Lab, cluster: Cluster, plan: Plan
) -> None:
    key, nodes = "default/frail-2", [node.name for node in cluster.nodes]
    killed = on(cluster, home(plan, key), f"systemctl kill --signal=KILL {unit(key)}; cut -d' ' -f1 /proc/uptime")
    since = held(cluster, key, *nodes)
    assert max(since.values()) - float(killed) < SOON
    assert asked(cluster, FRAIL, *nodes) == {Outcome.OK}
    found = survey.survey(cluster, plan, silent)
    assert causes(found) == {("endpoint-dead", home(plan, key), key)}
    told = {v.node: v.summary for v in found.verdicts if v.check == "node-state" and v.status is Status.FAIL}
    assert told.keys() == set(nodes)
    assert all(f"holds {key} for unready since" in text and "connection refused" in text for text in told.values())
    again = apply(lab)
    assert again.generation == plan.generation
    passing(cluster, again)


def test_a_pod_that_is_restarted_is_counted_and_comes_back_everywhere(cluster: Cluster, plan: Plan) -> None:
    key = of(plan, "web")[0]
    was = restarts(cluster, plan, key)
    on(cluster, home(plan, key), f"systemctl kill --signal=KILL {unit(key)}")
    clock.until(lambda: _restarted(cluster, plan, key, was), what="a restart", within=10, every=0.2)
    passing(cluster, plan)


def restarts(cluster: Cluster, plan: Plan, key: str) -> int:
    listed = inspect.pods(cluster, plan).as_objects()
    return next(int(pod["restarts"]) for pod in listed if f"{pod['namespace']}/{pod['name']}" == key)


def _restarted(cluster: Cluster, plan: Plan, key: str, was: int) -> None:
    if restarts(cluster, plan, key) <= was:
        raise clock.NotYet(f"{was} restarts")


def test_pods_that_say_they_are_not_ready_are_refused_and_named(cluster: Cluster, plan: Plan) -> None:
    nodes = [node.name for node in cluster.nodes]
    for key in of(plan, "web"):
        on(cluster, home(plan, key), f"systemctl kill --signal=USR1 {unit(key)}")
    try:
        for key in of(plan, "web"):
            held(cluster, key, *nodes)
        assert asked(cluster, WEB, *nodes, attempts=3) == {Outcome.REFUSED}
        found = survey.survey(cluster, plan, silent)
        assert causes(found) == {("endpoint-unready", home(plan, key), key) for key in of(plan, "web")}
        shown = {pod["name"]: pod["ready"] for pod in inspect.pods(cluster, plan).as_objects()}
        assert {shown[key.partition("/")[2]] for key in of(plan, "web")} == {"0/1"}
    finally:
        for key in of(plan, "web"):
            on(cluster, home(plan, key), f"systemctl kill --signal=USR2 {unit(key)}")
    passing(cluster, plan)


def test_a_node_that_is_cut_off_is_not_used_and_takes_part_again(cluster: Cluster, plan: Plan) -> None:
    away = [pod.key for pod in plan.pods if pod.node == "n3"]
    with cut(cluster, "n3"):
        for key in away:
            held(cluster, key, "n1", "n2")
        assert asked(cluster, WEB, "n1", "n2") == {Outcome.OK}
    passing(cluster, plan)


def test_a_node_without_power_is_not_used_and_takes_part_again(lab: Lab, cluster: Cluster, plan: Plan) -> None:
    on(cluster, "n3", "systemctl poweroff --force >/dev/null 2>&1 || true")
    for key in [pod.key for pod in plan.pods if pod.node == "n3"]:
        held(cluster, key, "n1", "n2")
    assert asked(cluster, WEB, "n1", "n2") == {Outcome.OK}
    passing(lab.driver.up(Wish(3), lambda _text: None), plan)


def test_a_change_whose_pods_do_not_get_ready_stops_and_the_old_ones_serve_on(
    lab: Lab, cluster: Cluster, plan: Plan
) -> None:
    with pytest.raises(HarnessError, match=r"the pod default/web-\S+ does not get ready: HTTP 503") as stopped:
        apply(lab, text=NEVER)
    assert asked(cluster, WEB, *(node.name for node in cluster.nodes)) == {Outcome.OK}
    assert not any(key in str(stopped.value) for key in of(plan, "web")), "the new one is named"
    passing(cluster, apply(lab))


@contextmanager
def cut(cluster: Cluster, node: str) -> Iterator[None]:
    """Within: the other end of a node's cable is down."""
    assert cluster.client_netns is not None
    cable = ["ip", "-n", cluster.client_netns.name, "link", "set", f"v-{node}"]
    process.check([*cable, "down"], what="pull a cable")
    try:
        yield
    finally:
        process.check([*cable, "up"], what="plug it in")


@pytest.mark.long
def test_a_node_that_missed_three_applies_is_stale_and_then_mended(lab: Lab, cluster: Cluster, plan: Plan) -> None:
    """It was out of reach meanwhile, and comes back from a loss of power with what it had."""
    with cut(cluster, "n3"):
        missed = [apply_without(lab, frail) for frail in (4, 5, 6)]
        running = [status(cluster, node)["generation"] for node in ("n1", "n2")]
    on(cluster, "n3", "systemctl poweroff --force >/dev/null 2>&1 || true")
    held(cluster, next(pod.key for pod in missed[-1].pods if pod.node == "n3"), "n1", "n2")
    cluster = lab.driver.up(Wish(3), lambda _text: None)
    clock.until(lambda: on(cluster, "n3", "cat /run/nodeport/status.json || true"), what="the old state", within=20)
    assert missed[-1].generation > plan.generation
    assert running[0] == running[1] == missed[-1].generation
    found = survey.survey(cluster, missed[-1], silent)
    stale = [v for v in found.verdicts if v.check == "node-state" and v.node == "n3"]
    assert [v.status for v in stale] == [Status.FAIL]
    assert f"it runs generation {plan.generation}, {missed[-1].generation} is wanted" in stale[0].summary
    assert {node for cause, node, _ in causes(found) if cause in ("forwarder-stale", "node-state")} >= {"n3"}
    passing(cluster, apply(lab, 6))


def apply_without(lab: Lab, frail: int) -> Plan:
    """Apply while a node is cut off: it is named."""
    with pytest.raises(HarnessError) as refused:
        apply(lab, frail)
    assert "n3" in str(refused.value)
    return planned(lab, lab.cluster())


def status(cluster: Cluster, node: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(on(cluster, node, "cat /run/nodeport/status.json"))
    return said
