"""Changes of what runs, by the verbs that a user types, on nodes that several tests share."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.session import inspect
from harness.session.lab import Lab
from harness.support import clock, process
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).parents[2] / "examples"
HARNESS = Path(sys.executable).with_name("harness")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_nodes(tmp_path_factory.mktemp("changes")) as lab:
        yield lab


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
    """What `harness get pods -o json` prints."""
    cluster = lab.cluster()
    plan = lab.applied_plan(cluster)
    assert plan is not None
    return inspect.pods(cluster, plan).as_objects()


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
    told = json.loads(harness(applied, "get", "pods", "-o", "json").out)
    assert [(pod["name"], pod["status"]) for pod in told] == [(pod["name"], pod["status"]) for pod in more]
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


@pytest.mark.long
def test_nodes_of_an_earlier_version_get_its_programs_before_they_are_changed(applied: Lab) -> None:
    main = "/usr/local/lib/nodeport/nodeportd/__main__.py"
    known = harness(applied, "exec", "n1", "--", "sha256sum", main).out
    for node in ("n1", "n3"):
        harness(applied, "exec", node, "--", "sed", "-i", "s/--ready/--steady/", main)
        harness(applied, "exec", node, "--", "systemctl", "restart", "nodeportd.service")
    broken = harness(applied, "scale", "deploy/web-app", "--replicas", "5", code=4)
    assert "settle" in broken.err, "what this test is about"
    harness(applied, "scale", "deploy/web-app", "--replicas", "4")
    assert harness(applied, "exec", "n1", "--", "sha256sum", main).out == known
    harness(applied, "exec", "n2", "--", "sed", "-i", "s/--ready/--steady/", main)
    applied.place.programs_file.write_text("those of an earlier version\n")
    harness(applied, "rollout", "restart", "deploy/web-app")
    assert harness(applied, "exec", "n2", "--", "sha256sum", main).out == known
    harness(applied, "verify")


@pytest.mark.long
def test_pods_of_an_earlier_version_give_way_one_after_the_other(applied: Lab) -> None:
    earlier = "echo '# earlier' >>/usr/local/lib/nodeport/responder.py; /usr/local/lib/nodeport/podctl sync"
    for node in ("n1", "n2", "n3"):
        harness(applied, "exec", node, "--", "sh", "-c", earlier)
    applied.place.programs_file.write_text("those\nbefore\n")
    before = {pod["name"] for pod in pods(applied)}
    words: list[str | Path] = [HARNESS, "--lab", applied.name, "watch", "web-service", "--for", "40", "--json"]
    with ThreadPoolExecutor(1) as aside:
        watched = aside.submit(process.run, words, cwd=applied.folder, timeout=120)
        done = harness(applied, "apply", "-f", EXAMPLES / "web-app.yaml")
    seen = watched.result()
    assert "pods of an earlier version are replaced" in done.err
    assert not before & {pod["name"] for pod in pods(applied)}
    assert seen.code == 0, seen.err
    assert ", 0 failed" in seen.err, seen.err
    assert all(pod["name"] in seen.out for pod in pods(applied)), "it was watched until the end"
    again = harness(applied, "apply", "-f", EXAMPLES / "web-app.yaml")
    assert "0 tasks changed something" in again.err
    assert "earlier version" not in again.err
    harness(applied, "verify")


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


@pytest.mark.long
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


@pytest.mark.usefixtures("ctrl_c")
def test_watch_ends_cleanly_by_itself_and_by_control_c(applied: Lab) -> None:
    lines = harness(applied, "watch", "web-service", "--for", "2", "--json").out.splitlines()
    seen = [json.loads(line) for line in lines]
    assert {each["node"] for each in seen} == {"n1", "n2", "n3"}
    assert {pod for each in seen for pod in each["answers"]} == {pod["name"] for pod in pods(applied)}
    assert all(each["failures"] == {} for each in seen)
    watching: list[str | Path] = [HARNESS, "--lab", applied.name, "watch"]
    with process.start(watching, cwd=applied.folder, stdout=process.PIPE, stderr=process.PIPE) as endless:
        try:
            assert endless.stdout is not None
            assert b"n1  " in endless.stdout.readline()
            os.kill(endless.pid, signal.SIGINT)
            _, err = endless.communicate(timeout=20)
        finally:
            process.end_group(endless)
    assert endless.returncode == 0, err
    assert b"requests, 0 failed" in err
    assert b"Traceback" not in err


@pytest.mark.long
def test_watch_notices_a_service_that_is_not_served(applied: Lab) -> None:
    harness(applied, "scale", "deploy/web-app", "--replicas", "0")
    refused = harness(applied, "watch", "--for", "1.5", code=1)
    assert "refused" in refused.out
    assert "there is no Service" in harness(applied, "watch", "web-servise", code=2).err


def test_a_drill_judges_changes_and_a_killed_pod_and_puts_everything_back(applied: Lab) -> None:
    plays = ("rolling-restart", "scale-up", "forwarder-killed", "pod-killed")
    chosen = [word for play in plays for word in ("--only", play)]
    done = harness(applied, "drill", "web-service", "--json", *chosen)
    report = json.loads(done.out)
    assert [each["name"] for each in report["scenarios"]] == list(plays)
    assert {verdict["status"] for verdict in report["verdicts"]} == {"PASS"}
    restart, killed = report["scenarios"][0], report["scenarios"][-1]
    for course in restart["courses"]:
        assert course["attempts"] > 100
        assert course["failures"] == {}
        assert len(course["first_answer"]) == len(course["last_answer"]) == 3
        assert all(0 < at < restart["seconds"] for at in course["first_answer"].values())
    assert sum(sum(course["failures"].values()) for course in killed["courses"]) > 0, "a killed pod is felt"
    assert len(pods(applied)) == 3
    folder = applied.home / "runs" / "latest"
    assert 'name="drill-rolling-restart[n1]"' in (folder / "junit.xml").read_text()
    assert "Every pod is replaced" in (folder / "report.txt").read_text()


def test_a_second_change_at_the_same_time_is_told_who_is_at_it(applied: Lab) -> None:
    first = process.start([HARNESS, "--lab", applied.name, "rollout", "restart", "deploy/web-app"], cwd=applied.folder)
    try:
        await_change(applied)
        second = harness(applied, "apply", "-f", EXAMPLES / "web-app.yaml", code=4)
        assert f"is being changed by another harness, process {first.pid}" in second.err
        assert first.wait(timeout=120) == 0
    finally:
        process.end_group(first)


@pytest.mark.long
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGINT, id="interrupted"),
    ],
)
def test_a_change_that_broke_off_half_way_is_carried_through_by_the_next(how: signal.Signals, applied: Lab) -> None:
    before = {pod["name"] for pod in pods(applied)}
    broken = process.start([HARNESS, "--lab", applied.name, "rollout", "restart", "deploy/web-app"], cwd=applied.folder)
    try:
        await_change(applied, steps=2)
        os.kill(broken.pid, how)
        assert broken.wait(timeout=60) == (130 if how is signal.SIGINT else -how)
    finally:
        process.end_group(broken)
    kept = applied.kept()
    assert kept is not None
    assert not kept.settled
    harness(applied, "apply", "-f", EXAMPLES / "web-app.yaml")
    after = {pod["name"] for pod in pods(applied)}
    assert len(after) == 3
    assert not before & after, "what was asked before it broke off is carried through"
    units = ("systemctl", "list-units", "--no-legend", "--plain", "nodeport-pod@*")
    found = [harness(applied, "exec", node.name, "--", *units).out.split("\n") for node in applied.cluster().nodes]
    assert sum(bool(line) for lines in found for line in lines) == 3, "no pod of any step is left"
    harness(applied, "verify")


def await_change(lab: Lab, steps: int = 1) -> None:
    """Until a change has begun so many steps."""
    seen: set[bytes] = set()

    def begun() -> None:
        kept = lab.kept()
        if kept and not kept.settled:
            seen.add(lab.plan_file.read_bytes())
        if len(seen) < steps:
            raise clock.NotYet(f"{len(seen)} steps")

    clock.until(begun, what="a change to begin", within=60)


@pytest.mark.long
def test_a_roll_out_whose_new_pods_do_not_get_ready_stops_and_the_old_ones_serve_on(applied: Lab) -> None:
    before = {pod["name"] for pod in pods(applied)}
    ill = applied.folder / "ill.yaml"
    probe = "          readinessProbe: {httpGet: {path: '/echo?code=500', port: 80}, periodSeconds: 1}\n"
    ill.write_text(
        (EXAMPLES / "web-app.yaml").read_text().replace("          ports:\n", probe + "          ports:\n", 1)
    )
    refused = harness(applied, "apply", "-f", ill, code=4)
    assert "does not get ready" in refused.err
    assert before < {pod["name"] for pod in pods(applied)}, "one new pod, and all old ones"
    assert set(answers(applied).values()) == {0}
    heard = harness(applied, "watch", "--for", "2", "--json").out.splitlines()
    assert {pod for line in heard for pod in json.loads(line)["answers"]} == before
    waiting = harness(applied, "rollout", "status", "deploy/web-app", "--timeout", "1", code=4)
    assert "1 out of 3 new replicas have been updated" in waiting.out
    better = applied.folder / "better.yaml"
    better.write_text((EXAMPLES / "web-app.yaml").read_text().replace("image: nginx", "image: nginx:2"))
    harness(applied, "apply", "-f", better)
    after = {pod["name"] for pod in pods(applied)}
    assert len(after) == 3
    assert not before & after
    harness(applied, "verify")
