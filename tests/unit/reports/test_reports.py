"""Reports of runs that passed, failed and died: whole, valid, and naming what a person needs."""

from __future__ import annotations

import json as stdlib_json
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.model.observation import OUTSIDE, NodeFacts, Versions
from harness.model.plan import Endpoint, Listen, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService
from harness.model.run import Phase, Run, Share
from harness.model.verdict import Diagnosis, Status, Verdict
from harness.model.workload import Protocol, ServiceType
from harness.reports import html, json, junit, tables, terminal

CASES = Path(__file__).parents[2] / "cases" / "reports"
PODS = ("default/web-app-7bf49fdf5d-4mljx", "default/web-app-7bf49fdf5d-985zm", "default/web-app-7bf49fdf5d-sbq59")


def plan() -> Plan:
    nodes = tuple(PlannedNode(f"n{n}", f"192.168.56.{10 + n}", f"10.244.{n - 1}.0/24") for n in range(1, 4))
    pods = tuple(
        PlannedPod("default", key.partition("/")[2], f"uid-{n}", f"n{n + 1}", f"10.244.{n}.2", {"app": "web"},
                   ("nginx",), (Listen(80, Protocol.TCP),), owner="Deployment/web-app")
        for n, key in enumerate(PODS)
    )  # fmt: skip
    endpoints = tuple(Endpoint(pod.key, pod.node, pod.address, 80) for pod in pods)
    port = PlannedPort("", Protocol.TCP, 80, 80, 30008, endpoints)
    service = PlannedService("default", "web-service", ServiceType.NODE_PORT, {"app": "web"}, (port,))
    return Plan("lab", 1, nodes, pods, (service,))


def share(
    vantage: str, node: str, counts: tuple[int, ...], failures: dict[str, int] | None = None, late: int = 0
) -> Share:
    counted = dict(zip(PODS, counts, strict=True))
    attempts = sum(counts) + sum((failures or {}).values())
    return Share(vantage, node, "default/web-service", 30008, "TCP", attempts, counted, failures or {}, late, 0.21, 0.9)


def passing() -> Run:
    shares = (
        share(OUTSIDE, "n1", (85, 82, 83)),
        share(OUTSIDE, "n2", (108, 124, 101)),
        share("n1", "n2", (14, 13, 13)),
        replace(share(f"pod/{PODS[0]}", "n1", (14, 13, 13)), service_port=80),
        replace(share("n2", "n2", (20, 13, 7)), way="ClusterIP", port=80, service_port=80),
    )
    verdicts = (
        Verdict(
            "answers", "outside → n1", Status.PASS, "250 of 250 attempts answered", "n1", OUTSIDE, "default/web-service"
        ),
        Verdict("spread", "outside → n1", Status.PASS, "shares 34/33/33 %", "n1", OUTSIDE, "default/web-service"),
        Verdict("udp", "outside → n1", Status.SKIP, "forwarder has no UDP", "n1", OUTSIDE),
    )
    debian = Versions("6.1.0-37-amd64", "Debian GNU/Linux 12 (bookworm), 12.11", "1.0.6", "3.11.2")
    facts = (
        NodeFacts("n1", reachable=True, versions=debian),
        NodeFacts("n2", reachable=True, versions=debian),
        NodeFacts("n3", reachable=True, versions=Versions(kernel="6.12.1")),
        NodeFacts("n4", reachable=False),
    )
    return Run("runs/1", "default", "nspawn", "2026-11-21T03:00:00+00:00", 8.9, (Phase("up", 0.6),), plan(), shares,
               facts, verdicts, (), {"harness": "0.1.0"})  # fmt: skip


def failing() -> Run:
    shares = (share(OUTSIDE, "n1", (120, 130, 0), late=9), share(OUTSIDE, "n2", (0, 0, 0), {"refused": 40}),
              share("n1", "n2", (0, 0, 0), {"refused": 20}),
              replace(share(f"pod/{PODS[0]}", "n2", (14, 0, 13), {"timeout": 9}), service_port=80))  # fmt: skip
    bad = Verdict(
        "answers", "outside → n2", Status.FAIL, "0 of 40 <answered> & \x07 refused", "n2", OUTSIDE, "default/web"
    )
    why = Diagnosis(
        "rule-missing", "n2 has no rule for 30008", "Seen: <all> refused.\nTo see it: nft list ruleset", "n2"
    )
    return Run("runs/2", "default", "nspawn", "2026-11-21T03:00:00+00:00", 12.0, (), plan(), shares, (), (bad,), (why,))


def died() -> Run:
    phases = (Phase("up", 60.0, "no SSH within 60 s on: n2 (`harness down`, then again)"),)
    return Run("runs/3", "default", "nspawn", "2026-11-21T03:00:00+00:00", 61.0, phases)


RUNS = {"passing": passing, "failing": failing, "died": died}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_report_word_for_word(name: str, width: int) -> None:
    file = CASES / f"{name}-{width}.txt"
    shown = terminal.render(RUNS[name](), width=width, colour=False)
    if os.environ.get("HARNESS_UPDATE_CASES"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown)
    assert shown == file.read_text()
    assert max(map(len, shown.splitlines()[:-1])) <= width


@pytest.mark.parametrize("name", RUNS)
def test_junit_adds_up_and_is_never_empty(name: str) -> None:
    run = RUNS[name]()
    suite = ET.fromstring(junit.render(run).encode()).find("testsuite")  # noqa: S314 - our own text
    assert suite is not None
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.attrib["tests"]) == max(1, len(run.verdicts))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == sum(case.find(tag) is not None for case in cases)
    assert (run.status is Status.PASS) == (suite.attrib["failures"] == suite.attrib["errors"] == "0")


def test_junit_tells_the_cause_of_a_failure() -> None:
    text = junit.render(failing())
    assert "n2 has no rule for 30008" in text
    assert "\x07" not in text


@pytest.mark.parametrize("name", RUNS)
def test_json_has_the_status_and_everything_else(name: str) -> None:
    run = RUNS[name]()
    document = stdlib_json.loads(json.render(run))
    assert (document["status"], document["exit_code"]) == (run.status, run.status.exit_code)
    assert len(document["verdicts"]) == len(run.verdicts)
    assert len(document["shares"]) == len(run.shares)


@pytest.mark.parametrize("name", RUNS)
def test_html_is_whole_and_escapes_what_it_shows(name: str) -> None:
    text = html.render(RUNS[name]())
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert "<answered>" not in text
    assert "<all>" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (312, "5m12s"), (3599, "59m"), (11040, "3h4m"), (187200, "2d4h"), (900000, "10d")],
)
def test_ages_are_kubectls(seconds: float, shown: str) -> None:
    assert tables.age(seconds) == shown


def test_pods_that_cannot_be_told_apart_by_their_end_keep_their_names() -> None:
    assert tables.short_names(["default/solo", "default/web-app-7bf49fdf5d-4mljx"]) == {
        "default/solo": "solo",
        "default/web-app-7bf49fdf5d-4mljx": "…4mljx",
    }


def test_every_report_has_what_each_node_runs_on() -> None:
    suite = ET.fromstring(junit.render(passing()).encode()).find("testsuite/properties")  # noqa: S314 - our own text
    assert suite is not None
    found = {entry.get("name"): entry.get("value") for entry in suite}
    assert found["n1 kernel"] == "6.1.0-37-amd64"
    assert found["n2 nftables"] == "1.0.6"
    assert found["n3 kernel"] == "6.12.1"
    assert "n3 python" not in found, "what a node did not say is left out"
    facts = stdlib_json.loads(json.render(passing()))["facts"]
    assert facts[0]["versions"]["os_image"] == "Debian GNU/Linux 12 (bookworm), 12.11"
    assert "kernel 6.12.1" in html.render(passing())
