"""Pods of nodes that cannot be used: who takes them over is said."""

from __future__ import annotations

from dataclasses import replace

from harness import manifests, plan
from harness.model.cluster import Node

WEB = b"""
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
"""
NODES = tuple(Node(name, f"192.0.2.{number}") for number, name in enumerate("ab", 1))


def test_what_others_take_over_is_said_by_pod_and_node() -> None:
    workload = manifests.parse([("web.yaml", WEB)])
    before = plan.build(workload, NODES, "uid", None)
    after = plan.build(workload, NODES[:1], "uid", before)
    lost = [pod.key for pod in before.pods if pod.node == "b"]
    assert len(lost) == 2
    told = plan.taken_over(before, after, ["b"])
    assert told == {"b": f"of the 2 pods of b, others take over {lost[0]} to a, {lost[1]} to a; on b they may run on"}
    fewer = replace(after, pods=tuple(pod for pod in after.pods if pod.key != lost[0]))
    assert "others take over " in plan.taken_over(before, fewer, ["b"])["b"]
    assert "1 pod not wanted any more" in plan.taken_over(before, fewer, ["b"])["b"]


def test_nothing_is_said_of_nodes_that_had_no_pods() -> None:
    workload = manifests.parse([("web.yaml", WEB)])
    after = plan.build(workload, NODES[:1], "uid", None)
    assert plan.taken_over(None, after, ["b"]) == {}
    assert plan.taken_over(after, after, ["b"]) == {}
