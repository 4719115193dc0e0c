"""Changes of what runs, by the verbs that a user types, on nodes that several tests share."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.drivers import Wish
from harness.session.lab import Lab
from harness.support import process

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).parents[2] / "examples"
HARNESS = Path(sys.executable).with_name("harness")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab.at(tmp_path_factory.mktemp("changes"), "changes", "nspawn")
    try:
        lab.driver.up(Wish(3), lambda _text: None)
        yield lab
    finally:
        lab.driver.down(lambda _text: None)


@pytest.fixture
def applied(lab: Lab) -> Lab:
    """The lab with web-app.yaml: three pods, nothing cordoned."""
    harness(lab, "apply", "-f", EXAMPLES / "web-app.yaml")
    return lab


def harness(lab: Lab, *words: str | Path, code: int = 0) -> process.Completed:
    done = process.run([HARNESS, "--lab", lab.name, *words], cwd=lab.folder, timeout=180)
    assert done.code == code, done.out + done.err
    return done


def pods(lab: Lab) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(harness(lab, "get", "pods", "-o", "json").out)
    return found


def answers(lab: Lab, node_port: int = 30008) -> dict[str, int]:
    """How ``curl`` ends on the nodePort of every node: 0 is an answer, 7 refused."""
    words = ("curl", "-sm3", "-o", "/dev/null")
    cluster = lab.cluster()
    inside = ["nsenter", f"--net={cluster.client_netns}"]
    return {
        node.name: process.run([*inside, *words, f"http://{node.address}:{node_port}/hostname"]).code
        for node in cluster.nodes
    }


def test_scale_up_and_down_is_effective_on_every_node_when_the_command_ends(applied: Lab) -> None:
    before = {pod["name"] for pod in pods(applied)}
    done = harness(applied, "scale", "deploy/web-app", "--replicas", "6")
    assert done.out == "deployment.apps/web-app scaled\n"
    more = pods(applied)
    assert before < {pod["name"] for pod in more}
    assert [pod["status"] for pod in more] == ["Running"] * 6
    harness(applied, "verify")
    harness(applied, "scale", "deployment/web-app", "--replicas", "0")
    assert pods(applied) == []
    assert set(answers(applied).values()) == {7}, "a Service without pods is refused"
    wrong = harness(applied, "scale", "deploy/wep-app", "--replicas", "2", code=2)
    assert 'deployment.apps "wep-app" not found' in wrong.err
    assert "default/web-app" in wrong.err


def test_a_restart_replaces_every_pod_and_status_says_so(applied: Lab) -> None:
    before = {pod["name"] for pod in pods(applied)}
    done = harness(applied, "rollout", "restart", "deploy/web-app")
    assert done.out == "deployment.apps/web-app restarted\n"
    status = harness(applied, "rollout", "status", "deploy/web-app", "--timeout", "20")
    assert status.out == 'deployment "web-app" successfully rolled out\n'
    after = {pod["name"] for pod in pods(applied)}
    assert len(after) == 3
    assert not before & after
    harness(applied, "apply", "-f", EXAMPLES / "web-app.yaml")
    assert {pod["name"] for pod in pods(applied)} == after, "to apply the manifest again does not undo a restart"
    harness(applied, "verify")
    stopped = next(pod for pod in pods(applied) if pod["node"] == "n1")
    key = hashlib.sha256(f"default/{stopped['name']}".encode()).hexdigest()[:8]
    harness(applied, "exec", "n1", "--", "systemctl", "stop", f"nodeport-pod@{key}")
    waiting = harness(applied, "rollout", "status", "deploy/web-app", "--timeout", "1", code=4)
    assert "2 of 3 updated replicas are available" in waiting.out


def test_what_is_deleted_is_gone_and_what_is_not_stays(applied: Lab) -> None:
    before = {pod["name"] for pod in pods(applied)}
    victim = min(before)
    assert harness(applied, "delete", f"pod/{victim}").out == f'pod "{victim}" deleted\n'
    after = {pod["name"] for pod in pods(applied)}
    assert len(after) == 3
    assert before - after == {victim}, "its Deployment makes another one, under another name"
    assert harness(applied, "delete", "svc/web-service").out == 'service "web-service" deleted\n'
    assert set(answers(applied).values()) == {7}
    assert {pod["name"] for pod in pods(applied)} == after
    wrong = harness(applied, "delete", "svc/web-service", code=2)
    assert 'service "web-service" not found' in wrong.err
    done = harness(applied, "delete", "-f", EXAMPLES / "web-app.yaml")
    assert done.out == 'deployment.apps "web-app" deleted\n'
    assert pods(applied) == []
    harness(applied, "apply", "-f", EXAMPLES / "web-app.yaml")
    assert set(answers(applied).values()) == {0}, "the Service has its nodePort again"


def test_a_drained_node_has_no_pods_and_answers_all_the_same(applied: Lab) -> None:
    assert harness(applied, "cordon", "n2").out == "node/n2 cordoned\n"
    assert harness(applied, "cordon", "n2").out == "node/n2 already cordoned\n"
    there = [pod["name"] for pod in pods(applied) if pod["node"] == "n2"]
    assert there, "to cordon a node moves nothing"
    done = harness(applied, "drain", "n2").out.splitlines()
    assert done == ["node/n2 cordoned", *(f"pod/{name} evicted" for name in there), "node/n2 drained"]
    assert "n2" not in {pod["node"] for pod in pods(applied)}
    harness(applied, "scale", "deploy/web-app", "--replicas", "6")
    assert "n2" not in {pod["node"] for pod in pods(applied)}
    assert "Ready,SchedulingDisabled" in harness(applied, "get", "nodes").out
    harness(applied, "verify")
    assert harness(applied, "uncordon", "n2").out == "node/n2 uncordoned\n"
    harness(applied, "scale", "deploy/web-app", "--replicas", "8")
    assert "n2" in {pod["node"] for pod in pods(applied)}
    assert 'node "n9" not found' in harness(applied, "drain", "n9", code=2).err


def test_a_pod_that_nobody_makes_anew_is_not_drained_by_accident(applied: Lab) -> None:
    solo = applied.folder / "solo.yaml"
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: solo}\nspec: {containers: [{name: web, image: nginx}]}\n"
    solo.write_text(text)
    harness(applied, "apply", "-f", solo)
    node = pods(applied)[0]["node"]
    refused = harness(applied, "drain", node, code=2)
    assert "Pods that declare no controller: default/solo" in refused.err
    assert "SchedulingDisabled" not in harness(applied, "get", "nodes").out
    assert "pod/solo evicted" in harness(applied, "drain", node, "--force").out
    assert pods(applied) == []
    harness(applied, "uncordon", node)
