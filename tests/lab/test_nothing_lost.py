"""Planned changes under load, on both forwarders: no request fails, who is connected to a pod that stays remains so.

Who is connected to one that leaves is served to the end of what is under way.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness import probes
from harness.model.cluster import Cluster
from harness.model.observation import Attempt, Outcome, Target
from harness.model.progress import silent
from harness.model.workload import Protocol
from harness.plan import alter
from harness.session import change, remote, run
from harness.session.lab import Lab
from harness.support import clock
from tests.lab.labs import with_nodes
from tests.lab.nodeportd_rig import inside

pytestmark = pytest.mark.lab

WEB_APP = Path(__file__).parents[2] / "examples" / "web-app.yaml"
WEB = alter.Reference("Deployment", "default", "web-app")
LOCAL = """
---
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
ENOUGH = 100_000
OTHER = """
---
apiVersion: v1
kind: Service
metadata: {name: another}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30009}]}
"""


@pytest.fixture(scope="module", params=["nftables", pytest.param("socat", marks=pytest.mark.long)])
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("nothing-lost")
    with with_nodes(folder) as nodes:
        lab = replace(nodes, forwarders=(request.param,))
        apply(lab, WEB_APP.read_text() + LOCAL)
        yield lab


def apply(lab: Lab, text: str) -> None:
    file = lab.folder / "given.yaml"
    file.write_text(text)
    run.apply_only(lab, [str(file)], silent)


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


@pytest.mark.long
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


def apply_another(lab: Lab) -> None:
    """Another generation of the state, by the whole playbook: with one Service more, and then without it."""
    before = change.present(lab).plan.generation
    for text in (OTHER, ""):
        apply(lab, WEB_APP.read_text() + LOCAL + text)
    assert change.present(lab).plan.generation == before + 2


@pytest.mark.long
def test_a_hundred_thousand_requests_and_not_one_lost(
    lab: Lab, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """The numbers of docs/changes.md: ``--junitxml`` has them."""
    done: Counter[str] = Counter()

    def work() -> None:
        for number in range(10):
            restart(lab, 100 + number)
            with connected(lab.cluster()) as ask:
                before = ask()
                scale(lab, 6)
                scale(lab, 3)
                reload(lab)
                reload(lab)
                assert ask() == before, "who is connected to a pod that stays remains so"
            done.update({"rolling restarts": 1, "scale-ups": 1, "scale-downs": 1, "reloads on every node": 2})
        with connected(lab.cluster()) as ask:
            before = ask()
            apply_another(lab)
            restart_forwarder(lab)
            assert ask() == before, "who is connected to a pod that stays remains so"
        done.update({"switches of the generation by apply": 2, "restarts of nodeportd": 1})

    heard = under_load(lab.cluster(), work)
    for number in range(20):  # a quick machine is through before so many were asked
        if len(heard) < ENOUGH:
            heard += under_load(lab.cluster(), partial(restart, lab, 200 + number))
    late = [each.connect_ms for each in heard if each.connect_ms and each.connect_ms > 900]
    numbers = {"requests": len(heard), "lost": sum(losses(heard).values()), "retransmitted SYN": len(late), **done}
    for what, number in numbers.items():
        record_testsuite_property(f"{lab.forwarders[0]}: {what}", number)
    assert losses(heard) == {}
    assert len(heard) >= ENOUGH


@pytest.mark.long
def test_old_pods_stay_until_new_ones_were_ready_for_long_enough(lab: Lab) -> None:
    """As clients see it: minReadySeconds between the first answer of each new pod and the last of an old one."""
    apply(lab, WEB_APP.read_text().replace("replicas: 3", "replicas: 3\n  minReadySeconds: 3") + LOCAL)
    before = {pod.uid for pod in change.present(lab).plan.pods}
    heard = under_load(lab.cluster(), lambda: restart(lab, 300))
    assert losses(heard) == {}
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for each in sorted(heard, key=lambda each: each.began):
        first.setdefault(each.uid, each.began)
        last[each.uid] = each.began
    came, went = sorted(at for uid, at in first.items() if uid not in before), sorted(last[uid] for uid in before)
    assert all(gone - come >= 3 for come, gone in zip(came, went, strict=True)), (came, went)


class Exchange:
    """A connection to a pod by way of a node."""

    def __init__(self, address: str) -> None:
        self.line = http.client.HTTPConnection(address, 30008, timeout=20)
        self.line.connect()
        self.line.auto_open = 0
        self.pod = self.ask()[0]

    def ask(self) -> tuple[str, bool]:
        """Who answers, and whether it was the last time."""
        self.line.request("GET", "/hostname")
        return self.answer()

    def answer(self) -> tuple[str, bool]:
        answer = self.line.getresponse()
        return answer.read().decode(), answer.getheader("Connection") == "close"

    def begin(self) -> None:
        """A request of ten bytes, but for the last."""
        self.line.putrequest("POST", "/hostname")
        self.line.putheader("Content-Length", "10")
        self.line.endheaders(b"x" * 9)

    def finish(self) -> tuple[str, bool]:
        self.line.send(b"x")
        return self.answer()


def exchanges(cluster: Cluster, pods: Collection[str], stack: contextlib.ExitStack) -> list[Exchange]:
    """One for every node and pod, until the stack is left."""
    found: dict[tuple[str, str], Exchange] = {}
    assert cluster.client_netns is not None
    with inside(cluster.client_netns.name):
        for _ in range(60):
            for node in cluster.nodes:
                made = Exchange(node.address)
                stack.callback(made.line.close)
                found.setdefault((node.name, made.pod), made)
    assert found.keys() == {(node.name, pod) for node in cluster.nodes for pod in pods}
    return list(found.values())


def until_the_last(asking: list[Exchange], over: threading.Event) -> list[str]:
    """Ask on all of them again and again, until each is told that it was the last time; what went wrong."""
    wrong, left = [], list(asking)
    while left and not over.wait(0.02):
        for each in list(left):
            try:
                pod, last = each.ask()
            except (OSError, http.client.HTTPException) as error:
                pod, last = f"{error!r}", True
            if pod != each.pod:
                wrong.append(f"{each.pod}: {pod}")
            if last:
                left.remove(each)
    return wrong


def told_to_end(lab: Lab, homes: dict[str, tuple[str, str]], pods: Collection[str]) -> set[str]:
    """Those of these pods that have SIGTERM and run yet; ``homes`` has their node and unit."""
    cluster, show = lab.cluster(), ["systemctl", "show", "--property=ActiveState", "--value"]
    state = {pod: remote.run(cluster, homes[pod][0], [*show, homes[pod][1]]).out.strip() for pod in pods}
    return {pod for pod in pods if state[pod] == "deactivating"}


def test_a_leaving_pod_ends_what_is_under_way(lab: Lab) -> None:
    """By way of every node: a request that was begun is answered after SIGTERM; who asks on is told when to stop."""
    scale(lab, 4)
    planned = change.present(lab).plan.pods
    homes = {
        pod.name: (pod.node, f"nodeport-pod@{hashlib.sha256(pod.key.encode()).hexdigest()[:8]}.service")
        for pod in planned
    }
    over = threading.Event()

    def work() -> None:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
            stack.callback(over.set)
            slow, asking = (exchanges(lab.cluster(), homes.keys(), stack) for _ in range(2))
            for each in slow:
                each.begin()
            asked = pool.submit(until_the_last, asking, over)
            scaling = pool.submit(scale, lab, 1)
            ended: set[str] = set()

            def finish() -> None:
                for pod in told_to_end(lab, homes, homes.keys() - ended):
                    ended.add(pod)
                    assert {each.finish() for each in slow if each.pod == pod} == {(pod, True)}
                if len(ended) < 3:
                    raise clock.NotYet(f"{len(ended)} of 3 pods were told to end")

            clock.until(finish, what="pods to leave", within=60, every=0.1)
            scaling.result(timeout=60)
            (stayed,) = homes.keys() - ended
            assert {each.finish() for each in slow if each.pod == stayed} == {(stayed, False)}
            over.set()
            assert asked.result(timeout=30) == []

    assert losses(under_load(lab.cluster(), work)) == {}
