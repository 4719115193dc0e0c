"""Endpoints that end: who is expected to answer where, by KEP-1669."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from harness import plan, verdicts
from harness.model.observation import OUTSIDE
from harness.model.plan import Plan
from harness.model.workload import TrafficPolicy, Workload
from harness.verdicts.expectations import Cell, Depth
from tests.unit.plan.sample import LAB, deployment, nodes, service


def planned(ending: set[str], policy: TrafficPolicy) -> Plan:
    """A Service in front of a pod on each of two nodes, with an address of its own; those on these nodes end."""
    asked = dataclasses.replace(
        service("web", selector={"app": "web"}), external_traffic_policy=policy, internal_traffic_policy=policy
    )
    found = plan.build(Workload(replica_sets=(deployment("web", 2),), services=(asked,)), nodes(3), LAB, None)
    (web,) = found.services
    ends = tuple(dataclasses.replace(end, terminating=end.node in ending) for end in web.ports[0].endpoints)
    ports = (dataclasses.replace(web.ports[0], endpoints=ends),)
    return dataclasses.replace(found, services=(dataclasses.replace(web, ports=ports),))


def cells(found: Plan) -> Iterator[Cell]:
    yield from verdicts.expectations(found, (OUTSIDE,))
    yield from (cell for cell in verdicts.inside(found) if str(cell.way) == "ClusterIP" and "pod/" not in cell.vantage)
    yield from verdicts.large(found)


@pytest.mark.parametrize(
    ("ending", "served"),
    [(set(), {"n1", "n2"}), ({"n1"}, {"n2"}), ({"n2"}, {"n1"}), ({"n1", "n2"}, {"n1", "n2"})],
    ids=["nobody ends", "the first ends", "the second ends", "all end"],
)
def test_those_that_end_serve_while_no_other_does(ending: set[str], served: set[str]) -> None:
    found = planned(ending, TrafficPolicy.CLUSTER)
    assert {frozenset(end.node for end in cell.endpoints) for cell in cells(found)} == {frozenset(served)}


@pytest.mark.parametrize("ending", [set(), {"n1"}, {"n1", "n2"}], ids=["nobody ends", "one ends", "all end"])
def test_with_policy_local_each_node_is_for_itself(ending: set[str]) -> None:
    seen = set()
    for cell in cells(planned(ending, TrafficPolicy.LOCAL)):
        here = cell.key.target.node
        assert {end.node for end in cell.endpoints} == ({here} & {"n1", "n2"})
        assert (cell.depth is Depth.SILENT) == (here == "n3")
        seen.add(here)
    assert seen == {"n1", "n2", "n3"}
