"""Planned changes under load: no request fails, and who is connected to a pod that stays remains so."""

from __future__ import annotations

import contextlib
import http.client
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import probes
from harness.model.cluster import Cluster
from harness.model.observation import Attempt, Outcome, Target
from harness.model.progress import silent
from harness.model.workload import Protocol
from harness.plan import alter
from harness.session import change, remote
from harness.session.lab import Lab
from tests.lab.labs import with_applied
from tests.lab.nodeportd_rig import inside

pytestmark = pytest.mark.lab

WEB_APP = Path(__file__).parents[2] / "examples" / "web-app.yaml"
WEB = alter.Reference("Deployment", "default", "web-app")
LOCAL = """
apiVersion: v1
kind: Service
metadata: {name: local, annotations: {nodeport.harness/health-check-node-port: "32010"}}
spec:
  type: NodePort
  selector: {app: web}
  externalTrafficPolicy: Local
  ports: [{port: 80, nodePort: 30010}]
"""
RATE = 200
"""New connections a second to every node."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("nothing-lost")
    (folder / "local.yaml").write_text(LOCAL)
    with with_applied(folder, WEB_APP, folder / "local.yaml") as lab:
        yield lab


def restart(lab: Lab, number: int) -> None:
    change.change(
        lab, "rollout", lambda now: change.with_workload(now, alter.restarted(now.workload, WEB, str(number))), silent
    )


def scale(lab: Lab, replicas: int) -> None:
    change.change(
        lab, "scale", lambda now: change.with_workload(now, alter.scaled(now.workload, WEB, replicas)), silent
    )


def reload(lab: Lab) -> None:
    """It finds nothing new, and makes the whole table anew."""
    cluster = lab.cluster()
    for node in cluster.nodes:
        assert remote.run(cluster, node.name, ["systemctl", "reload", "nodeportd"]).ok


def restart_forwarder(lab: Lab) -> None:
    cluster = lab.cluster()
    for node in cluster.nodes:
        assert remote.run(cluster, node.name, ["systemctl", "restart", "nodeportd"]).ok


def under_load(cluster: Cluster, work: Callable[[], None], port: int = 30008) -> list[Attempt]:
    heard: list[Attempt] = []
    targets = [Target(node.name, node.address, port, Protocol.TCP) for node in cluster.nodes]
    with probes.steady(cluster, targets, RATE, heard.extend):
        work()
    return heard


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[Callable[[], list[str]]]:
    """Within: a connection by every node stays open; asked, each names the pod at its other end."""
    assert cluster.client_netns is not None
    with inside(cluster.client_netns.name), contextlib.ExitStack() as stack:
        open_ones = [http.client.HTTPConnection(node.address, 30008, timeout=5) for node in cluster.nodes]
        for one in open_ones:
            one.connect()
            stack.callback(one.close)
            one.auto_open = 0  # never a second connection in place of the first

        def ask() -> list[str]:
            for one in open_ones:
                one.request("GET", "/hostname")
            return [one.getresponse().read().decode() for one in open_ones]

        yield ask


def losses(heard: list[Attempt]) -> Counter[str]:
    return Counter(
        f"{each.target.node}: {each.outcome} {each.detail}" for each in heard if each.outcome is not Outcome.OK
    )


def test_a_restart_more_and_fewer_pods_and_reloads_lose_nothing(lab: Lab) -> None:
    def work() -> None:
        restart(lab, 1)
        with connected(lab.cluster()) as ask:
            before = ask()
            scale(lab, 6)
            scale(lab, 3)
            reload(lab)
            restart_forwarder(lab)
            assert ask() == before, "who is connected to a pod that stays remains so"

    heard = under_load(lab.cluster(), work)
    assert len(heard) > 2000, "enough was asked meanwhile"
    assert losses(heard) == {}
    assert len({each.responder for each in heard}) == 3 + 3 + 3, "old pods, new ones, more of them"


def test_a_rolling_update_loses_nothing_where_every_node_serves_its_own_pods_alone(lab: Lab) -> None:
    """A pod on each node, and the new one serves before the old one goes: no load balancer has to turn away."""
    plan = lab.applied_plan(lab.cluster())
    assert plan is not None
    assert sorted(pod.node for pod in plan.pods) == ["n1", "n2", "n3"]
    heard = under_load(lab.cluster(), lambda: restart(lab, 2), port=30010)
    assert len(heard) > 500, "enough was asked meanwhile"
    assert losses(heard) == {}
    homes = {pod.uid: pod.node for now in (plan, lab.applied_plan(lab.cluster())) if now for pod in now.pods}
    assert len(homes) == 6, "every pod was replaced"
    assert {(each.target.node, homes[each.uid]) for each in heard} == {(n, n) for n in ("n1", "n2", "n3")}


@pytest.mark.long
def test_a_hundred_thousand_requests_and_not_one_lost(lab: Lab) -> None:
    def work() -> None:
        for number in range(10):
            restart(lab, 100 + number)
            scale(lab, 6)
            scale(lab, 3)
            reload(lab)
            restart_forwarder(lab)

    heard: list[Attempt] = []
    while len(heard) < 100_000:
        heard += under_load(lab.cluster(), work)
    assert losses(heard) == {}
