"""What forwarders promise: the harness says what nodeportd says, and of each missing feature what happens instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from nodeportd import backend
from nodeportd import state as nodeportd_state

from harness.model.forwarder import DEFAULT, FORWARDERS
from harness.model.plan import Plan
from harness.model.verdict import Status
from harness.model.workload import TrafficPolicy, Workload
from harness.plan import build
from harness.plan.promises import unkept
from harness.verdicts import expectations, left_out
from harness.verdicts.causes import CAUSES
from tests.unit.plan.sample import LAB, deployment, nodes, service


@pytest.mark.parametrize("name", FORWARDERS)
def test_the_harness_knows_what_nodeportd_declares(name: str) -> None:
    known = FORWARDERS[name]
    assert known.features == backend.PROMISED[name]
    assert known.features | known.lacks.keys() == backend.FEATURES
    assert known.gone in CAUSES


def test_there_are_the_same_forwarders_everywhere() -> None:
    assert set(FORWARDERS) == set(backend.BACKENDS) == set(nodeportd_state.BACKENDS)
    assert DEFAULT in FORWARDERS


def planned(*forwarders: str, previous: Plan | None = None, **fields: Any) -> Plan:
    given = [replace(node, forwarder=name) for node, name in zip(nodes(len(forwarders)), forwarders, strict=True)]
    web = replace(service("web"), **fields)
    return build(Workload(replica_sets=(deployment("web", 2),), services=(web,)), given, LAB, previous)


def test_a_node_begins_with_nftables_and_keeps_what_it_has() -> None:
    first = planned("", "socat")
    assert [node.backend for node in first.nodes] == ["nftables", "socat"]
    then = planned("", "", previous=first)
    assert [node.backend for node in then.nodes] == ["nftables", "socat"]
    assert then.generation == first.generation
    assert planned("", "nftables", previous=first).generation == first.generation + 1


def test_what_a_forwarder_cannot_do_is_said_and_skipped_for_its_nodes_alone() -> None:
    plan = planned("socat", "nftables", external_traffic_policy=TrafficPolicy.LOCAL)
    assert [(each.node.name, each.feature) for each in unkept(plan)] == [("n1", "client-address")]
    assert any("forwarder socat of n1 has no client-address: pods see the node" in note.text for note in plan.notes)
    skips = left_out(plan, ("outside",), {"outside": "10.0.0.1"})
    assert {(each.check, each.node, each.status) for each in skips} == {
        ("source", "n1", Status.SKIP), ("dropped", "n1", Status.SKIP), ("answers", "n1", Status.SKIP),
    }  # fmt: skip
    cells = expectations(plan, ("outside",), {"outside": "10.0.0.1"})
    assert {cell.node: cell.source for cell in cells} == {"n1": "", "n2": "10.0.0.1"}
    assert not list(unkept(planned("socat")))
