"""Every node answers on every nodePort, written with nothing but the plugin."""

from __future__ import annotations

from typing import Any


def test_every_node_answers(node: Any, service: Any, probe: Any) -> None:
    pods = {endpoint.pod.split("/")[-1] for endpoint in service.endpoints}
    answers = probe(node, service)
    assert sum(answers.values()) == 30
    assert set(answers) <= pods, answers


def test_the_forwarder_runs(node_host: Any) -> None:
    assert node_host.service("nodeportd").is_running
    assert node_host.sysctl("net.ipv4.ip_forward") == 1


def test_check(verdicts: Any) -> None:
    assert [verdict.summary for verdict in verdicts if verdict.status not in ("PASS", "SKIP")] == []
