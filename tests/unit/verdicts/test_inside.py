"""What is asked inside the cluster: bounded however large it is, whole where it was named, and drawn by the seed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from harness import verdicts
from harness.model.observation import pod_of
from harness.model.plan import Endpoint, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService
from harness.model.verdict import Status
from harness.model.workload import Protocol, ServiceType, TrafficPolicy
from harness.verdicts.expectations import Way
from harness.verdicts.inside import USUAL, WIDE, count

LOCAL = {"external_traffic_policy": TrafficPolicy.LOCAL}


def plan(nodes: int, pods: int, services: int) -> Plan:
    """Every Service has all pods behind it."""
    names = tuple(PlannedNode(f"n{n}", f"192.168.56.{11 + n}", f"10.244.{n}.0/24") for n in range(nodes))
    placed = tuple(
        PlannedPod(
            "default", f"web-{p}", f"uid-{p}", f"n{p % nodes}", f"10.244.{p % nodes}.{2 + p // nodes}", {}, (), ()
        )
        for p in range(pods)
    )
    ends = tuple(Endpoint(pod.key, pod.node, pod.address, 80) for pod in placed)
    return Plan("lab", 1, names, placed, tuple(
        PlannedService(
            "default", f"s{n}", ServiceType.NODE_PORT, {}, (PlannedPort("", Protocol.TCP, 80, 80, 30000 + n, ends),),
            cluster_addresses=(f"10.97.{n // 200}.{1 + n % 200}",),
        )
        for n in range(services)
    ))  # fmt: skip


def vantages(cells: tuple[verdicts.Cell, ...]) -> set[str]:
    return {pod_of(cell.vantage) for cell in cells} - {""}


def test_a_small_cluster_is_looked_at_whole() -> None:
    small = plan(3, 3, 1)
    cells = verdicts.inside(small)
    assert len(cells) == count(small) == 12
    assert verdicts.sampled(small, len(cells), 0) == ()
    assert sum("hairpin: " in name for cell in cells for name in verdicts.names_of(cell)) == 9


@pytest.mark.parametrize(
    ("nodes", "pods", "altered", "kept"),
    [
        pytest.param(1, 2, {}, {"ClusterIP"}, id="to a pod of its own node"),
        pytest.param(2, 2, {}, {"ClusterIP"}, id="to a pod elsewhere"),
        pytest.param(2, 4, LOCAL, {"ClusterIP", "own nodePort"}, id="also by its node's nodePort, under Local"),
        pytest.param(1, 1, LOCAL, set(), id="not from itself"),
        pytest.param(1, 2, {"affinity_seconds": 60}, set(), id="not where it may stick to itself"),
    ],
)
def test_where_pods_see_the_pod_that_asks(nodes: int, pods: int, altered: dict[str, Any], kept: set[str]) -> None:
    given = plan(nodes, pods, 1)
    cells = verdicts.inside(replace(given, services=(replace(given.services[0], **altered),)))
    of_pods = [cell for cell in cells if pod_of(cell.vantage)]
    addresses = {f"pod/{pod.key}": pod.address for pod in given.pods}
    assert all(cell.source in ("", addresses[cell.vantage]) for cell in of_pods)
    ways = {Way.CLUSTER_IP: "ClusterIP", Way.NODE_PORT: "nodePort"}
    told = {
        ("own " if cell.way is Way.NODE_PORT and cell.node == cell.home else "") + ways[cell.way]: bool(cell.source)
        for cell in of_pods
    }
    assert {way for way, source in told.items() if source} == kept
    assert not any(cell.source for cell in cells if not pod_of(cell.vantage)), "a node is its own gateway to pods"


@pytest.mark.parametrize(("nodes", "pods", "services"), [(3, 30, 1), (10, 10, 1), (50, 1000, 5), (3, 3, 300)])
def test_cells_do_not_grow_without_bound(nodes: int, pods: int, services: int) -> None:
    large = plan(nodes, pods, services)
    began = time.monotonic()
    cells = verdicts.inside(large, seed=12345)
    assert time.monotonic() - began < 30, "a bound for a busy machine; less than 1 s on a quiet one"
    assert len(cells) <= USUAL.cells
    assert len(vantages(cells)) <= USUAL.pods
    (skip,) = verdicts.sampled(large, len(cells), 12345)
    assert (skip.check, skip.status) == ("sample", Status.SKIP)
    assert "seed 12345" in skip.summary


def test_the_seed_turns_the_wheel_and_the_same_seed_looks_at_the_same() -> None:
    large = plan(10, 40, 3)
    assert verdicts.inside(large, seed=7) == verdicts.inside(large, seed=7)
    seen = set().union(*(vantages(verdicts.inside(large, seed=seed)) for seed in range(200)))
    assert seen == {pod.key for pod in large.pods}, "in time every pod asks"


def test_what_is_named_is_asked_whole() -> None:
    large = plan(10, 40, 3)
    named = verdicts.Selection((r"pod/default/web-37 → .*default/s2 ",))
    cells = verdicts.inside(large, 7, named.wants_cell)
    assert {str(cell).split(" 80 on ")[0] for cell in cells} == {
        "pod/default/web-37 → n7, default/s2", "pod/default/web-37 → n8, default/s2"
    }  # fmt: skip
    assert len(cells) == 3
    everyone = verdicts.inside(large, 7, verdicts.Selection(("pod/",)).wants_cell)
    assert len(vantages(everyone)) == WIDE.pods


def test_every_check_inside_is_in_the_catalogue() -> None:
    ids = {check.id for check in verdicts.CHECKS}
    names = [name for cell in verdicts.inside(plan(3, 3, 1)) for name in verdicts.names_of(cell)]
    assert {name.partition(":")[0] for name in names} <= ids
