"""Several ports of a Service, TCP and UDP on one number, and health checks: proven on real nodes, and seen broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import probes
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Job, Outcome, Target
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.model.workload import Protocol
from harness.session import remote, run, survey
from harness.session.lab import Lab
from harness.verdicts import Selection
from tests.lab.faults import Injection, injected
from tests.lab.labs import with_applied

pytestmark = pytest.mark.lab

MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: dns}
spec:
  replicas: 2
  selector: {matchLabels: {app: dns}}
  template:
    metadata: {labels: {app: dns}}
    spec:
      containers:
        - name: dns
          image: coredns
          ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53}, {containerPort: 8080, name: web}]
---
apiVersion: v1
kind: Service
metadata: {name: dns}
spec:
  type: NodePort
  selector: {app: dns}
  ports:
    - {name: udp, port: 53, protocol: UDP, nodePort: 30053}
    - {name: tcp, port: 53, nodePort: 30053}
    - {name: web, port: 80, targetPort: web, nodePort: 30080}
---
apiVersion: v1
kind: Service
metadata:
  name: local
  annotations: {nodeport.harness/health-check-node-port: "32000"}
spec:
  type: NodePort
  selector: {app: dns}
  externalTrafficPolicy: Local
  ports: [{port: 80, targetPort: 8080, nodePort: 30081}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec:
  type: NodePort
  ports: [{port: 53, protocol: UDP, nodePort: 30055}]
---
apiVersion: v1
kind: Service
metadata: {name: inner}
spec:
  selector: {app: dns}
  clusterIP: 10.96.7.7
  ports: [{port: 80, targetPort: 8080}]
"""


OTHERWISE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: dns}
spec:
  replicas: 3
  selector: {matchLabels: {app: dns}}
  template:
    metadata: {labels: {app: dns}}
    spec:
      containers:
        - name: dns
          image: coredns
          ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53}, {containerPort: 8080, name: web}]
---
apiVersion: v1
kind: Service
metadata: {name: dns}
spec:
  type: NodePort
  selector: {app: dns}
  sessionAffinity: ClientIP
  ports:
    - {name: udp, port: 53, protocol: UDP, nodePort: 30054}
    - {name: web, port: 80, targetPort: web, nodePort: 30080}
    - {name: more, port: 81, targetPort: 8080, nodePort: 30082}
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec:
  type: NodePort
  selector: {app: dns}
  ports: [{port: 80, targetPort: 8080, nodePort: 30081}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec:
  type: ExternalName
  externalName: dns.example.org
---
apiVersion: v1
kind: Service
metadata: {name: inner}
spec:
  type: ExternalName
  externalName: dns.example.org
"""
"""The same Services, each with something else that it promises."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("ports")
    manifests = folder / "dns.yaml"
    manifests.write_text(MANIFESTS)
    with with_applied(folder, manifests) as lab:
        yield lab


def lonely(plan: Plan) -> str:
    """The node without a pod."""
    return next(node.name for node in plan.nodes if node.name not in {pod.node for pod in plan.pods})


def test_every_port_of_a_service_is_proven_by_itself(cluster: Cluster, plan: Plan) -> None:
    found = survey.survey(cluster, plan, silent)
    assert [str(verdict) for verdict in found.verdicts if verdict.status not in (Status.PASS, Status.SKIP)] == []
    passed = {f"{verdict.check}: {verdict.subject}" for verdict in found.verdicts if verdict.status is Status.PASS}
    for node in plan.nodes:
        for check, port in (
            ("spread", "default/dns 53 on 30053/UDP"),
            ("spread", "default/dns 53 on 30053/TCP"),
            ("spread", "default/dns 80 on 30080/TCP"),
            ("refused", "default/nobody 53 on 30055/UDP"),
        ):
            assert f"{check}: outside → {node.name}, {port}" in passed
    told = {verdict.node: verdict.summary for verdict in found.verdicts if verdict.check == "health-check"}
    right = {node.name: f"200 default/local {sum(pod.node == node.name for pod in plan.pods)}" for node in plan.nodes}
    right[lonely(plan)] = "503 default/local 0"
    assert {node: summary.partition(": ")[2] for node, summary in told.items()} == right
    assert any(each.startswith("hairpin: pod/default/dns") and "UDP" in each for each in passed)


def stranger(rule: str) -> str:
    chain = "type filter hook prerouting priority -150;"
    return f"nft 'table ip stranger {{ chain c {{ {chain} {rule}; }}; }}'"


_THERE = ("nft list table ip stranger", "nft delete table ip stranger")


def udp_swallowed(_plan: Plan) -> Injection:
    return Injection("n2", stranger("udp dport 30053 drop"), *_THERE)


def udp_refused(_plan: Plan) -> Injection:
    return Injection("n2", stranger("udp dport 30053 reject"), *_THERE)


def nobody_swallows(_plan: Plan) -> Injection:
    return Injection("n1", stranger("udp dport 30055 drop"), *_THERE)


def health_of_another_node(plan: Plan) -> Injection:
    other = next(node for node in plan.nodes if node.name != lonely(plan))
    translated = f"tcp dport 32000 dnat to {other.address}"
    breaks = (
        "nft 'table ip stranger { "
        f"chain c {{ type nat hook prerouting priority -105; {translated}; }}; "
        "chain d { type nat hook postrouting priority 90; tcp dport 32000 masquerade; }; }'"
    )
    return Injection(lonely(plan), breaks, *_THERE)


def answered_by_another(plan: Plan) -> Injection:
    breaks = (
        "nft 'table ip stranger { chain c { type nat hook prerouting priority -105; "
        f"tcp dport 30081 dnat to {plan.pods[0].address}:8080; }}; "
        "chain d { type nat hook postrouting priority 90; "
        "meta l4proto tcp ct original proto-dst 30081 masquerade; }; }'"
    )
    return Injection("n2", breaks, *_THERE)


def found_with(
    fault: Callable[[Plan], Injection], focus: str, cluster: Cluster, plan: Plan
) -> tuple[Injection, survey.Survey]:
    injection = fault(plan)
    with injected(cluster, injection):
        return injection, survey.survey(cluster, plan, silent, Selection((focus,)))


@pytest.mark.parametrize(
    ("fault", "check", "outcome", "causes"),
    [
        pytest.param(udp_swallowed, "answers", "timeout", {"pre-dnat-drop"}, id="UDP meets silence"),
        pytest.param(udp_refused, "answers", "refused", {"rule-missing", "pre-dnat-drop"}, id="UDP is refused"),
    ],
)
def test_udp_that_fails_is_told_apart_from_tcp_on_the_same_number(
    fault: Callable[[Plan], Injection], check: str, outcome: str, causes: set[str], cluster: Cluster, plan: Plan
) -> None:
    injection, found = found_with(fault, "on 30053/", cluster, plan)
    failed = [verdict for verdict in found.verdicts if verdict.status is Status.FAIL]
    assert any(each.check == check and each.node == "n2" and outcome in each.summary for each in failed), failed
    assert {each.subject.rpartition("/")[2] for each in failed if each.check == check} == {"UDP"}
    # How many refusals come through their limit of one a second decides what it looks most like.
    assert {each.cause for each in found.diagnoses if each.node == injection.node} & causes


def test_a_port_without_endpoints_that_swallows_udp_is_found(cluster: Cluster, plan: Plan) -> None:
    injection, found = found_with(nobody_swallows, "refused", cluster, plan)
    failed = [verdict for verdict in found.verdicts if verdict.status is Status.FAIL]
    assert any(each.check == "refused" and each.node == injection.node for each in failed), failed
    assert ("black-hole", injection.node) in {(each.cause, each.node) for each in found.diagnoses}


def test_a_health_check_that_lies_is_found(cluster: Cluster, plan: Plan) -> None:
    injection, found = found_with(health_of_another_node, "health-check", cluster, plan)
    failures = [verdict for verdict in found.verdicts if verdict.status is Status.FAIL]
    assert len(failures) == 1, [str(verdict) for verdict in failures]
    (failed,) = failures
    assert (failed.check, failed.node) == ("health-check", injection.node)
    assert "should say 503 default/local 0" in failed.summary
    assert "200 default/local 1" in failed.summary
    assert ("health-check-wrong", injection.node) in {(each.cause, each.node) for each in found.diagnoses}


def test_all_is_well_again_after_the_faults(cluster: Cluster, plan: Plan) -> None:
    again = survey.survey(cluster, plan, silent)
    assert [str(verdict) for verdict in again.verdicts if verdict.status not in (Status.PASS, Status.SKIP)] == []


@pytest.mark.parametrize(
    "label",
    [
        "service.kubernetes.io/service-proxy-name",
        pytest.param("service.kubernetes.io/headless", marks=pytest.mark.long),
    ],
)
def test_a_service_that_a_label_leaves_to_another_proxy_is_let_alone_and_taken_back(
    label: str, lab: Lab, cluster: Cluster, plan: Plan, tmp_path: Path
) -> None:
    """Upstream toggles the label on a Service that is there; the other Services go on."""
    labelled = tmp_path / "labelled.yaml"
    labelled.write_text(MANIFESTS.replace("  name: local\n", f"  name: local\n  labels: {{{label}: foo-bar}}\n"))
    left = run.apply_only(lab, [str(labelled)], silent)
    found = survey.survey(cluster, left, silent)
    assert [str(verdict) for verdict in found.verdicts if verdict.status not in (Status.PASS, Status.SKIP)] == []
    told = {
        (each.vantage, each.node)
        for each in found.verdicts
        if (each.check, each.service) == ("closed", "default/local")
    }
    names = [node.name for node in plan.nodes]
    assert told == {(vantage, node) for vantage in ("outside", *names) for node in names}
    assert {each.check for each in found.verdicts if each.service == "default/local"} == {"closed", "endpoints"}
    with injected(cluster, answered_by_another(plan)):
        found = survey.survey(cluster, left, silent, Selection(("closed",)))
    failed = {(each.check, each.node) for each in found.verdicts if each.status is Status.FAIL}
    assert failed == {("closed", "n2")}
    assert [(each.cause, each.node) for each in found.diagnoses] == [("address-open", "n2")]
    again = run.apply_only(lab, [manifests_of(tmp_path)], silent)
    found = survey.survey(cluster, again, silent, Selection(("default/local",)))
    assert {verdict.status for verdict in found.verdicts} <= {Status.PASS, Status.SKIP}
    assert {"answers", "dropped", "health-check"} <= {verdict.check for verdict in found.verdicts}


def manifests_of(folder: Path, text: str = MANIFESTS) -> str:
    """The manifests as they were at first, or others."""
    file = folder / "dns.yaml"
    file.write_text(text)
    return str(file)


def test_what_services_promise_is_changed_on_running_nodes_and_back(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
    """Ports come and go, a UDP nodePort moves, endpoints, affinity, traffic policy and type change."""
    for text, gone in (
        (OTHERWISE, {"30053/UDP", "30053/TCP", "30055/UDP", "32000/TCP"}),
        (MANIFESTS, {"30054/UDP", "30082/TCP"}),
    ):
        plan = run.apply_only(lab, [manifests_of(tmp_path, text)], silent)
        for node in plan.nodes:  # a flow of an earlier question keeps the pod that it had, also when affinity comes
            remote.run(cluster, node.name, ["conntrack", "-D", "-p", "udp"])
        found = survey.survey(cluster, plan, silent)
        assert [str(each) for each in found.verdicts if each.status not in (Status.PASS, Status.SKIP)] == []
        checks = {(each.check, each.service) for each in found.verdicts if each.status is Status.PASS}
        assert (("affinity", "default/dns") in checks) == (text is OTHERWISE)
        assert (("clients", "default/dns") in checks) == (text is OTHERWISE)
        assert (("dropped", "default/local") in checks) == (text is MANIFESTS)
        assert (("health-check", "default/local") in checks) == (text is MANIFESTS)
        assert (("refused", "default/nobody") in checks) == (text is MANIFESTS)
        assert (("coverage", "default/inner") in checks) == (text is MANIFESTS)
        inside = {
            each.check for each in found.verdicts if each.service == "default/dns" and "ClusterIP" in each.subject
        }
        assert ("affinity" in inside, "coverage" in inside) == (text is OTHERWISE, text is MANIFESTS)
        for node in plan.nodes:
            forwarded = remote.run(cluster, node.name, ["nft", "list", "map", "ip", "nodeport", "services"]).out
            assert ("10.96.7.7 . tcp . 80" in forwarded) == (text is MANIFESTS)
        assert answered(cluster, plan, gone) == set()


def answered(cluster: Cluster, plan: Plan, ports: set[str]) -> set[str]:
    """Which of these ports still answer on any node."""
    targets = [
        Target(node.name, node.address, int(number), Protocol(protocol))
        for node in plan.nodes
        for number, _, protocol in (port.partition("/") for port in ports)
    ]
    with probes.open_probers(cluster, (OUTSIDE,)) as probers:
        attempts = probers.ask({OUTSIDE: [Job(OUTSIDE, target, 2) for target in targets]}).attempts
    assert len(attempts) == 2 * len(targets)
    return {f"{each.target.port}/{each.target.protocol}" for each in attempts if each.outcome is Outcome.OK}
