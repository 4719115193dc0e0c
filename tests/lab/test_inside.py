"""Pods as vantage points, and Services' own addresses, on real nodes: healthy, and each promise seen broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import manifests
from harness.model.cluster import Cluster
from harness.model.plan import Plan, PlannedPod
from harness.model.progress import silent
from harness.model.run import Share
from harness.model.verdict import Status
from harness.plan import steps
from harness.session import apply, run, sources, survey
from harness.session.lab import Lab
from harness.verdicts import Selection
from tests.lab.faults import SETTLE, Injection, injected
from tests.lab.labs import with_applied

pytestmark = pytest.mark.lab

MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: idle}, spec: {containers: [{name: idle, image: nginx}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  externalIPs: [203.0.113.7]
  ports: [{name: http, port: 80, nodePort: 30008}, {name: too, port: 8080, targetPort: 80, nodePort: 30009}]
---
apiVersion: v1
kind: Service
metadata: {name: inner}
spec:
  type: NodePort
  selector: {app: web}
  internalTrafficPolicy: Local
  ports: [{port: 80, nodePort: 30010}]
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("inside")
    manifests = folder / "app.yaml"
    manifests.write_text(MANIFESTS)
    with with_applied(folder, manifests) as lab:
        yield lab


def home(plan: Plan, name: str) -> str:
    """The node of the pod whose name begins so."""
    return next(pod.node for pod in plan.pods if pod.name.startswith(name))


def test_pods_and_own_addresses_pass_where_all_is_well(cluster: Cluster, plan: Plan) -> None:
    found = survey.survey(cluster, plan, silent)
    assert [str(verdict) for verdict in found.verdicts if verdict.status not in (Status.PASS, Status.SKIP)] == []
    subjects = {f"{verdict.check}: {verdict.subject}" for verdict in found.verdicts if verdict.status is Status.PASS}
    lonely = home(plan, "idle")
    assert any(f"dropped: pod/default/idle → {lonely}, default/inner 80 on ClusterIP" in each for each in subjects)
    assert any("coverage: pod/default/idle" in each and "on 30008/TCP" in each for each in subjects)
    assert any("on externalIP 203.0.113.7:80/TCP" in each for each in subjects)
    assert sum(each.startswith("hairpin: pod/default/web") for each in subjects) >= 4
    assert sum(each.startswith("source: pod/") for each in subjects) >= 2


def stranger(hook: str, priority: int, rule: str, kind: str = "filter") -> str:
    chain = f"type {kind} hook {hook} priority {priority};"
    return f"nft 'table ip stranger {{ chain c {{ {chain} {rule}; }}; }}'"


def no_hairpin(plan: Plan) -> Injection:
    pod = next(pod for pod in plan.pods if pod.name.startswith("web"))
    rule = f"ip saddr {pod.address} ip daddr {pod.address} drop"
    return Injection(pod.node, stranger("forward", -5, rule), *_THERE)


def no_cluster_ip(plan: Plan) -> Injection:
    (service,) = [service for service in plan.services if service.name == "web"]
    place = f"{service.cluster_addresses[0]} . tcp . 80"
    breaks = f"nft delete element ip nodeport services {{ {place} }}"
    proof = f"! nft get element ip nodeport services {{ {place} }} 2>/dev/null"
    return Injection("n2", breaks, proof, f"systemctl reload nodeportd && {SETTLE} {plan.generation}")


def pods_shut_in(plan: Plan) -> Injection:
    rule = 'iifname "cni0" tcp dport { 80, 8080, 30008, 30009, 30010 } drop'
    return Injection(home(plan, "idle"), stranger("prerouting", -150, rule), *_THERE)


def pods_of_others_shut_out(plan: Plan) -> Injection:
    node = plan.nodes[(_index(plan, home(plan, "idle")) + 1) % len(plan.nodes)].name
    address = next(pod.address for pod in plan.pods if pod.name == "idle")
    rule = f"ip saddr {address} tcp dport {{ 30008, 30009, 30010 }} drop"
    return Injection(node, stranger("prerouting", -150, rule), *_THERE)


def pods_hidden(plan: Plan) -> Injection:
    rule = 'iifname "cni0" ct original ip daddr 10.96.0.0/12 masquerade'
    return Injection(home(plan, "idle"), stranger("postrouting", 90, rule, "nat"), *_THERE)


def refused_in_place_of_silence(plan: Plan) -> Injection:
    (service,) = [service for service in plan.services if service.name == "inner"]
    rule = f"ip daddr {service.cluster_addresses[0]} tcp dport 80 reject with tcp reset"
    return Injection(home(plan, "idle"), stranger("prerouting", -150, rule), *_THERE)


def _index(plan: Plan, name: str) -> int:
    return [node.name for node in plan.nodes].index(name)


_THERE = ("nft list table ip stranger", "nft delete table ip stranger")


@pytest.mark.parametrize(
    ("fault", "check", "cause", "about"),
    [
        pytest.param(no_hairpin, "hairpin", "hairpin-broken", "web", id="a pod does not reach itself"),
        pytest.param(no_cluster_ip, "answers", "cluster-ip-broken", "", id="a ClusterIP leads nowhere"),
        pytest.param(pods_shut_in, "answers", "pods-cut-off", "idle", id="pods are shut in", marks=pytest.mark.long),
        pytest.param(pods_of_others_shut_out, "answers", "pod-ingress-broken", "idle", id="pods are shut out"),
        pytest.param(pods_hidden, "source", "source-hidden", "idle", id="a pod is hidden from pods elsewhere"),
        pytest.param(refused_in_place_of_silence, "dropped", "not-dropped", "idle", id="refused in place of silence"),
    ],
)
def test_a_broken_promise_inside_is_found_with_node_and_cause(
    fault: Callable[[Plan], Injection], check: str, cause: str, about: str, cluster: Cluster, plan: Plan
) -> None:
    injection = fault(plan)
    with injected(cluster, injection):
        found = survey.survey(cluster, plan, silent)
    failed = [verdict for verdict in found.verdicts if verdict.status is Status.FAIL]
    assert any(each.check == check and each.node == injection.node for each in failed), [str(each) for each in failed]
    told = {(diagnosis.cause, diagnosis.node) for diagnosis in found.diagnoses}
    assert (cause, injection.node) in told, [(each.cause, each.node, each.title) for each in found.diagnoses]
    assert len(told - {("node-state", injection.node)}) == 1, "one fault is one diagnosis"
    accused = next(diagnosis for diagnosis in found.diagnoses if diagnosis.cause == cause)
    assert about in f"{accused.title} {accused.text}"


@pytest.mark.long  # the last test here asks all of it, too
def test_all_is_well_again_after_the_faults(cluster: Cluster, plan: Plan) -> None:
    again = survey.survey(cluster, plan, silent)
    assert [str(verdict) for verdict in again.verdicts if verdict.status not in (Status.PASS, Status.SKIP)] == []


def test_a_focus_on_pods_asks_from_all_of_them(cluster: Cluster, plan: Plan) -> None:
    found = survey.survey(cluster, plan, silent, Selection(("hairpin",)))
    assert {verdict.check for verdict in found.verdicts} == {"hairpin"}
    assert {verdict.vantage for verdict in found.verdicts} == {
        f"pod/{pod.key}" for pod in plan.pods if pod.name.startswith("web")
    }


NAMED_AND_GIVEN = """
apiVersion: v1
kind: Pod
metadata: {{name: old, labels: {{app: named}}}}
spec: {{containers: [{{name: c, image: x, ports: [{{containerPort: 8081, name: http}}]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: new, labels: {{app: named}}}}
spec: {{containers: [{{name: c, image: x, ports: [{{containerPort: 8082, name: http}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: named}}
spec:
  type: NodePort
  selector: {{app: named}}
  ports: [{{port: 80, targetPort: http, nodePort: 30020}}]
---
apiVersion: v1
kind: Service
metadata: {{name: given}}
spec: {{type: NodePort, ports: [{{port: 80, nodePort: 30021}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {{name: given-1, labels: {{kubernetes.io/service-name: given}}}}
ports: [{{port: 80}}]
endpoints:
  - {{addresses: [{first}]}}
  - {{addresses: [{second}], conditions: {{ready: false}}}}
"""


def test_named_target_ports_that_differ_per_pod_and_endpoints_that_a_user_gives(
    lab: Lab, cluster: Cluster, plan: Plan, tmp_path: Path
) -> None:
    first, second = (pod for pod in plan.pods if pod.name.startswith("web"))
    more = tmp_path / "more.yaml"
    more.write_text(MANIFESTS + "---" + NAMED_AND_GIVEN.format(first=first.address, second=second.address))
    then = run.apply_only(lab, [str(more)], silent)
    found = survey.survey(cluster, then, silent, Selection(("default/named", "default/given")))
    assert [str(verdict) for verdict in found.verdicts if verdict.status not in (Status.PASS, Status.SKIP)] == []
    answers = {(share.service, pod) for share in found.shares for pod in share.counts}
    assert answers == {
        ("default/named", "default/old"), ("default/named", "default/new"), ("default/given", first.key),
    }  # fmt: skip


LOCAL = """
---
apiVersion: v1
kind: Service
metadata: {name: near, annotations: {nodeport.harness/health-check-node-port: "32000"}}
spec:
  type: NodePort
  selector: {app: web}
  externalTrafficPolicy: Local
  internalTrafficPolicy: Local
  ports: [{port: 80, nodePort: 30030}]
"""
GIVEN = """
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, annotations: {annotations}}}
spec:
  type: NodePort
  externalTrafficPolicy: {policy}
  internalTrafficPolicy: {policy}
  ports: [{{port: 80, nodePort: {number}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
ports: [{{port: 80}}]
endpoints:
  - {{addresses: [{first.address}], nodeName: {first.node}, conditions: {{{one}}}}}
  - {{addresses: [{second.address}], nodeName: {second.node}, conditions: {{{other}}}}}
"""
ENDING = "ready: false, serving: true, terminating: true"
GONE = "ready: false, serving: false, terminating: true"
STAYS = "ready: true"
PUBLISHED = "ready: true, serving: false, terminating: true"


def given(name: str, number: int, policy: str, one: str, other: str, plan: Plan) -> str:
    """A Service in front of both pods, of which the EndpointSlice says this."""
    first, second = webs(plan)
    check = '{nodeport.harness/health-check-node-port: "32001"}' if number == 30034 else "{}"
    return GIVEN.format(
        name=name, number=number, policy=policy, one=one, other=other, first=first, second=second, annotations=check
    )


def webs(plan: Plan) -> tuple[PlannedPod, PlannedPod]:
    first, second = (pod for pod in plan.pods if pod.name.startswith("web"))
    return first, second


def test_endpoints_that_end_serve_while_no_other_does(lab: Lab, cluster: Cluster, plan: Plan, tmp_path: Path) -> None:
    """KEP-1669, at nodePorts and ClusterIPs, from everywhere; with policy Local each node by itself."""
    more = tmp_path / "more.yaml"
    more.write_text(
        MANIFESTS
        + given("all-end", 30031, "Cluster", ENDING, ENDING, plan)
        + given("one-ends", 30032, "Cluster", ENDING, STAYS, plan)
        + given("all-end-near", 30033, "Local", ENDING, ENDING, plan)
        + given("one-ends-near", 30034, "Local", ENDING, STAYS, plan)
        + given("one-serves", 30035, "Cluster", ENDING, GONE, plan)
        + given("published", 30036, "Cluster", PUBLISHED, STAYS, plan)
    )
    then = run.apply_only(lab, [str(more)], silent)
    first, second = webs(then)
    found = survey.survey(cluster, then, silent, Selection(("default/(all-|one-|published)",)))
    assert wrong(found) == []
    of_all = {name: both(found, f"default/{name}") for name in ("all-end", "one-ends", "one-serves", "published")}
    assert of_all == {
        "all-end": {first.key, second.key},
        "one-ends": {second.key},
        "one-serves": {first.key},
        "published": {first.key, second.key},
    }
    for name in ("all-end-near", "one-ends-near"):
        served = {(share.node, pod) for share in outside(found, f"default/{name}") for pod in share.counts}
        assert served == {(first.node, first.key), (second.node, second.key)}
    told = {(each.node, each.check) for each in found.verdicts if each.service == "default/one-ends-near"}
    assert {(first.node, "health-check"), (home(then, "idle"), "dropped")} <= told


def wrong(found: survey.Survey) -> list[str]:
    return [str(verdict) for verdict in found.verdicts if verdict.status not in (Status.PASS, Status.SKIP)]


def both(found: survey.Survey, service: str) -> set[str]:
    """Who answered for a Service; the same at its nodePorts and its ClusterIP."""
    at_port, at_address = (
        {pod for share in found.shares if (share.service, share.way) == (service, way) for pod in share.counts}
        for way in ("nodePort", "ClusterIP")
    )
    assert at_port == at_address
    return at_port


def outside(found: survey.Survey, service: str) -> list[Share]:
    return [each for each in found.shares if (each.service, each.vantage, each.way) == (service, "outside", "nodePort")]


def test_the_last_pods_serve_until_they_are_ended(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
    """The step of a change in which all pods of the Services leave, and none comes."""
    files = [tmp_path / f"{replicas}.yaml" for replicas in (2, 0)]
    for file, replicas in zip(files, (2, 0), strict=True):
        file.write_text((MANIFESTS + LOCAL).replace("replicas: 2", f"replicas: {replicas}"))
    before = run.apply_only(lab, [str(files[0])], silent)
    read = sources.read([str(files[1])])
    workload = manifests.parse(read)
    (leaving,) = (
        each
        for each in steps(before, apply.make_plan(read, cluster, before), workload)
        if {end.terminating for service in each.services for port in service.ports for end in port.endpoints} == {True}
    )
    apply.change(lab, cluster, workload, leaving, tmp_path, silent)
    then = lab.applied_plan(cluster)
    assert then is not None
    found = survey.survey(cluster, then, silent)
    assert wrong(found) == []
    first, second = webs(before)
    assert both(found, "default/web") == {first.key, second.key}
    served = {(share.node, pod) for share in outside(found, "default/near") for pod in share.counts}
    assert served == {(first.node, first.key), (second.node, second.key)}
    gone = run.apply_only(lab, [str(files[1])], silent)
    found = survey.survey(cluster, gone, silent)
    assert {each.check for each in found.verdicts if each.status not in (Status.PASS, Status.SKIP)} == {"endpoints"}
    refused = {(each.service, each.node) for each in found.verdicts if each.check == "refused"}
    assert refused >= {(service, node.name) for service in ("default/web", "default/near") for node in gone.nodes}
