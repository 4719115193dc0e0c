"""Which large requests are sent: from outside to every node, from every node to the next, to Services for everybody."""

from __future__ import annotations

import dataclasses

import pytest

from harness import verdicts
from harness.model.observation import OUTSIDE
from harness.model.plan import Plan
from harness.model.workload import Protocol, TrafficPolicy
from tests.unit.verdicts.test_inside import plan as plan_of


def test_every_link_between_nodes_is_used() -> None:
    cells = verdicts.large(plan_of(3, 3, 1))
    assert [(cell.vantage, cell.node) for cell in cells] == [
        (OUTSIDE, "n0"), ("n2", "n0"), (OUTSIDE, "n1"), ("n0", "n1"), (OUTSIDE, "n2"), ("n1", "n2"),
    ]  # fmt: skip
    plain = verdicts.expectations(plan_of(3, 3, 1), (OUTSIDE, "n0", "n1", "n2"))
    assert not {cell.key for cell in cells} & {cell.key for cell in plain}, "what comes of them is counted apart"
    assert {len(cell.endpoints) for cell in cells} == {3}
    assert [cell.vantage for cell in verdicts.large(plan_of(1, 1, 1))] == [OUTSIDE]


def test_there_are_never_many() -> None:
    cells = verdicts.large(plan_of(5, 5, 100))
    assert len(cells) == len({cell.key for cell in cells}) == 60


def changed(plan: Plan, **fields: object) -> Plan:
    return dataclasses.replace(plan, services=tuple(dataclasses.replace(each, **fields) for each in plan.services))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"external_traffic_policy": TrafficPolicy.LOCAL},
        {"affinity_seconds": 10},
        {"allowed_sources": ("10.0.0.0/8",)},
    ],
    ids=str,
)
def test_services_that_are_not_for_everybody_are_left_out(fields: dict[str, object]) -> None:
    assert verdicts.large(changed(plan_of(3, 3, 1), **fields)) == ()


def test_datagrams_are_left_out() -> None:
    plan = plan_of(3, 3, 1)
    (service,) = plan.services
    ports = tuple(dataclasses.replace(port, protocol=Protocol.UDP) for port in service.ports)
    assert verdicts.large(changed(plan, ports=ports)) == ()


def test_a_node_that_serves_at_further_addresses_alone_is_left_out() -> None:
    plan = plan_of(3, 3, 1)
    first, *others = plan.nodes
    elsewhere = dataclasses.replace(first, nodeport_addresses=("10.98.0.1",))
    cells = verdicts.large(dataclasses.replace(plan, nodes=(elsewhere, *others)))
    assert {cell.node for cell in cells} == {"n1", "n2"}
