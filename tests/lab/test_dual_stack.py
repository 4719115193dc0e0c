"""Services of both families on three nodes: green in both, and red in the one that is broken, on the node that is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.converge import runner
from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.progress import Event, PhaseEnded, silent
from harness.model.verdict import Status
from harness.plan import families
from harness.session import remote, run, survey
from harness.session.lab import Lab
from harness.support import process
from harness.verdicts import Selection
from tests.lab.faults import Injection, awaited, injected, on
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "dual-stack.yaml"
MORE = """\
apiVersion: v1
kind: Service
metadata:
  name: local
  annotations: {nodeport.harness/health-check-node-port: "30099"}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  ipFamilies: [IPv6, IPv4]
  externalTrafficPolicy: Local
  selector: {app: few}
  ports: [{port: 80, nodePort: 30081}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: few}
spec:
  replicas: 2
  selector: {matchLabels: {app: few}}
  template:
    metadata: {labels: {app: few}}
    spec:
      containers:
      - name: few
        image: nginx
        ports: [{containerPort: 80}, {containerPort: 53, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: four}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, nodePort: 30084}]
---
apiVersion: v1
kind: Service
metadata: {name: dns}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: few}
  ports: [{port: 53, protocol: UDP, nodePort: 30053}]
---
apiVersion: v1
kind: Service
metadata:
  name: few-clients
  annotations: {nodeport.harness/allowed-sources: "192.168.56.0/24"}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80, nodePort: 30082}]
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  sessionAffinity: ClientIP
  selector: {app: web}
  ports: [{port: 80, nodePort: 30087}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  ports: [{port: 80, nodePort: 30083}]
"""


ASK = """
import socket, sys
asker = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
asker.settimeout(5)
asker.connect((sys.argv[1], int(sys.argv[2])))
asker.send(b"hostname")
asker.recv(100)
"""
FORGET = """
import sys
sys.path.insert(0, "/usr/local/lib/nodeport")
from nodeportd import conntrack
print(conntrack.forget({{{place}: frozenset([{targets}])}}))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("dual-stack")
    (folder / "more.yaml").write_text(MORE)
    with with_nodes(folder, dual_stack=True) as lab:
        run.apply_only(lab, [str(EXAMPLE), str(folder / "more.yaml")], silent)
        yield lab


def test_both_families_are_green(cluster: Cluster, plan: Plan) -> None:
    found = survey.survey(cluster, plan, silent)
    amiss = [each for each in found.verdicts if each.status not in (Status.PASS, Status.SKIP)]
    assert [f"{each.check} {each.subject}: {each.summary}" for each in amiss] == []
    asked = {(share.service, share.way, "IPv6" in share.place) for share in found.shares}
    assert {("default/both", way, six) for way in ("nodePort", "ClusterIP") for six in (False, True)} <= asked
    assert ("default/six", "nodePort", True) in asked
    closed = {(share.service, "IPv6" in share.place) for share in found.shares if share.promise == "closed"}
    assert closed == {("default/six", False), ("default/four", True)}
    promises = {share.promise for share in found.shares if "IPv6" in share.place}
    assert {"spread", "coverage", "refused", "silent"} <= promises
    of_six = {each.check for each in found.verdicts if "(IPv6)" in each.subject and each.status is Status.PASS}
    assert {"answers", "coverage", "spread", "hairpin", "source", "dropped", "refused", "health-check"} <= of_six
    assert {"affinity", "clients"} <= of_six


@pytest.mark.parametrize(
    ("injection", "cause"),
    [
        pytest.param(
            Injection(
                "n2",
                "nft delete table ip6 nodeport",
                "! nft list table ip6 nodeport && nft list table ip nodeport",
                "systemctl restart nodeportd.service",
            ),
            "ruleset-flushed",
            id="its table of IPv6 is gone",
        ),
        pytest.param(
            Injection(
                "n1",
                "sysctl -q -w net.ipv6.conf.all.forwarding=0",
                "test $(cat /proc/sys/net/ipv6/conf/all/forwarding) = 0",
                "sysctl -q -w net.ipv6.conf.all.forwarding=1",
            ),
            "ip-forward",
            id="it does not forward IPv6",
            marks=pytest.mark.long,
        ),
        pytest.param(
            Injection(
                "n3",
                "ip -6 route delete fd00:10:244::/64",
                "! ip -6 route show fd00:10:244::/64 | grep -q .",
                "systemctl reload nodeport-network.service",
            ),
            "route-missing",
            id="a route of IPv6 is missing",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_broken_half_of_a_node_is_red_and_the_other_green(
    injection: Injection, cause: str, cluster: Cluster, plan: Plan
) -> None:
    with injected(cluster, injection):
        found = survey.survey(cluster, plan, silent)
    red = [each for each in found.verdicts if each.status is Status.FAIL]
    probed = [each for each in red if each.check != "node-state"]
    states = {each.node: each.summary for each in red if each.check == "node-state"}
    assert injection.node in states
    others = [summary for node, summary in states.items() if node != injection.node]
    assert all(summary.startswith("holds ") for summary in others), others  # its pods, which they cannot ask
    assert probed
    assert [each.subject for each in probed if "(IPv6)" not in each.subject] == []
    assert {each.node for each in probed} >= {injection.node}
    told = [each for each in found.diagnoses if each.cause == cause]
    assert {each.node for each in told} == {injection.node}, [each.title for each in found.diagnoses]
    assert all(each.title.endswith("(IPv6)") for each in found.diagnoses)


def test_a_node_that_remembers_no_client_of_ipv6_is_red_there_alone(cluster: Cluster, plan: Plan) -> None:
    forgets = Injection(
        "n2",
        "nft flush chain ip6 nodeport remember",
        "! nft list chain ip6 nodeport remember | grep -q update",
        "systemctl restart nodeportd.service",
    )
    with injected(cluster, forgets):
        found = survey.survey(cluster, plan, silent, Selection(focus=("^affinity: .*default/sticky",)))
    red = {(each.check, each.node, "(IPv6)" in each.subject) for each in found.verdicts if each.status is Status.FAIL}
    assert red == {("affinity", "n2", True)}


def test_a_pod_that_is_deaf_in_one_family_is_out_of_rotation_there(cluster: Cluster, plan: Plan) -> None:
    """All nodes hold it for unready there, so no client meets it, and in the other family all is as it was."""
    pod = next(pod for pod in plan.pods if pod.name.startswith("web-"))
    within = f"ip netns exec pod-{hashlib.sha256(pod.key.encode()).hexdigest()[:8]} nft"
    rule = "tcp dport 80 reject with tcp reset"
    deaf = Injection(
        pod.node,
        f"{within} 'table ip6 deaf {{ chain input {{ type filter hook input priority 0; {rule}; }}; }}'",
        f"{within} list table ip6 deaf",
        f"{within} delete table ip6 deaf",
    )
    wanted = Selection(focus=("^coverage: (outside|n[0-9]) .*default/both",))
    with injected(cluster, deaf):
        for node in cluster.nodes:  # each one asks the pod itself, and at its own time
            on(cluster, node.name, awaited(f"'{pod.key} (IPv6)' in unready and '{pod.key}' not in unready"))
        found = survey.survey(cluster, plan, silent, wanted)
    red = {(each.check, "(IPv6)" in each.subject) for each in found.verdicts if each.status is Status.FAIL}
    assert red == {("coverage", True)}
    assert {(each.cause, each.pod) for each in found.diagnoses} == {("endpoint-dead", pod.key)}


HIDING = """nft -f - <<END
table inet stranger {{
  chain c {{
    type nat hook postrouting priority 90
    ct status dnat ip saddr {four} ip daddr {four} masquerade
    ct status dnat ip6 saddr {six} ip6 daddr {six} masquerade
  }}
}}
END"""


def test_a_pod_that_is_hidden_from_the_pods_of_its_node_is_found(cluster: Cluster, plan: Plan) -> None:
    """Pods of two Services are on one node, and each asks for the other one."""
    home = plan.node(next(pod.node for pod in plan.pods if pod.name.startswith("few")))
    breaks = HIDING.format(four=home.pod_range, six=families.range_of(home.pod_range))
    fault = Injection(home.name, breaks, "nft list table inet stranger", "nft delete table inet stranger")
    with injected(cluster, fault):
        found = survey.survey(cluster, plan, silent, Selection(focus=("^source: pod/",)))
    red = [each for each in found.verdicts if each.status is Status.FAIL]
    here = {f"pod/{pod.key}" for pod in plan.pods if pod.node == home.name}
    assert {(each.node, each.vantage, "(IPv6)" in each.subject) for each in red} == {
        (home.name, pod, six) for pod in here for six in (False, True)
    }, [str(each) for each in red]
    told = {(each.cause, each.node) for each in found.diagnoses if each.cause != "node-state"}
    assert told == {("source-hidden", home.name)}, [each.title for each in found.diagnoses]


def test_flows_of_udp_to_a_pod_that_goes_are_forgotten(cluster: Cluster, plan: Plan) -> None:
    """An entry of conntrack that leads where it still may stays; one that does not is deleted."""
    (dns,) = [service for service in plan.services if service.name == "dns"]
    pods = [end.address for end in dns.ports[0].endpoints if ":" in end.address]
    node = plan.node("n1").address6
    assert cluster.client_netns is not None
    process.check(["nsenter", f"--net={cluster.client_netns}", "python3", "-c", ASK, node, "30053"], what="asking")
    allowed = [f"({address!r}, 53)" for address in pods]
    kept, gone = (FORGET.format(place=(node, "udp", 30053), targets=targets) for targets in (", ".join(allowed), ""))
    assert remote.run(cluster, "n1", ["python3", "-c", kept]).out == "0\n"
    assert int(remote.run(cluster, "n1", ["python3", "-c", gone]).out) > 0
    assert remote.run(cluster, "n1", ["python3", "-c", gone]).out == "0\n"


def test_a_second_run_changes_nothing(lab: Lab, cluster: Cluster, plan: Plan) -> None:
    """Neither the plan nor, as the playbook looks, anything on the nodes."""
    told: list[Event] = []
    found = run.apply_only(lab, [str(EXAMPLE), str(lab.folder / "more.yaml")], told.append)
    assert found is not None
    (ended,) = [each.summary for each in told if isinstance(each, PhaseEnded) and each.name == "apply"]
    assert "0 tasks changed something" in ended
    again = lab.applied_plan(cluster)
    assert again is not None
    assert again.generation == plan.generation


@pytest.mark.long
def test_a_node_with_another_forwarder_serves_both_families_as_well(lab: Lab) -> None:
    files = [str(EXAMPLE), str(lab.folder / "more.yaml")]
    mixed = run.apply_only(replace(lab, forwarders=("n3=socat",)), files, silent)
    found = survey.survey(lab.cluster(), mixed, silent)
    assert [str(each) for each in found.verdicts if each.status not in (Status.PASS, Status.SKIP)] == []
    assert {facts.drift for facts in found.facts} == {()}
    asked = {(share.node, "IPv6" in share.place, share.promise) for share in found.shares if share.way == "nodePort"}
    assert {("n3", six, promise) for six in (False, True) for promise in ("spread", "sticky", "refused")} <= asked
    run.apply_only(replace(lab, forwarders=("nftables",)), files, silent)


@pytest.mark.long
def test_reset_leaves_nothing_of_ipv6(cluster: Cluster, tmp_path: Path) -> None:
    """Last, for nothing is left on the nodes then."""
    runner.play("reset.yml", cluster, None, tmp_path / "log", silent)
    look = "nft list tables; ip -6 route show proto 77; cat /proc/sys/net/ipv6/conf/*/forwarding"
    for node in cluster.nodes:
        found = remote.run(cluster, node.name, ["sh", "-c", look])
        assert found.ok
        assert set(found.out.split()) == {"0"}, found.out
