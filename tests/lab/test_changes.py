"""Changes of what runs, by the verbs that a user types, on nodes that several tests share."""

from __future__ import annotations

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
