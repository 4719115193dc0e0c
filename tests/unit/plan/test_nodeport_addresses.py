"""Which addresses of a node serve nodePorts, in kube-proxy's words."""

from __future__ import annotations

import pytest

from harness.converge import hostvars
from harness.errors import PlanError
from harness.model.cluster import Node
from harness.model.plan import Plan
from harness.model.workload import Workload
from harness.plan import build
from harness.plan.nodeport_addresses import fault, served

OWN, OTHERS = "192.168.56.11", ("10.0.0.5/24", "10.0.0.6/24", "172.17.0.1/16")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ()),
        (("primary",), ()),
        (("192.168.0.0/16",), ()),
        (("10.0.0.0/24",), ("10.0.0.5", "10.0.0.6")),
        (("10.0.0.6/32", "primary"), (OWN, "10.0.0.6")),
        (("10.0.0.99/24",), ("10.0.0.5", "10.0.0.6")),
        (("all",), (OWN, "10.0.0.5", "10.0.0.6", "172.17.0.1")),
        (("0.0.0.0/0",), (OWN, "10.0.0.5", "10.0.0.6", "172.17.0.1")),
    ],
)
def test_words_and_the_addresses_that_they_name(words: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert served(OWN, OTHERS, words) == expected
    assert fault("n1", OWN, OTHERS, words) == ""


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("localhost", "not served"),
        ("127.0.0.0/8", "not served"),
        ("primry", "'primry' is neither primary nor all nor an IPv4 network"),
        ("fd00::/8", "nor an IPv4 network"),
        ("10.99.0.0/16", "names 10.99.0.0/16, but none of its addresses: 192.168.56.11, 10.0.0.5/24"),
    ],
)
def test_words_that_name_nothing_are_faults(word: str, told: str) -> None:
    assert told in fault("n1", OWN, OTHERS, (word,))
    assert fault("n1", OWN, OTHERS, (word,)).startswith("node n1: ")


def plan_of(*words: str, previous: Plan | None = None) -> Plan:
    node = Node("n1", OWN, other_addresses=(*OTHERS, "10.244.0.1/24"), nodeport_addresses=words)
    return build(Workload(), [node], "lab", previous)


def test_nodes_learn_of_their_addresses_and_generations_follow() -> None:
    usual, two = plan_of(), plan_of("primary", "10.0.0.5/32")
    assert [forwarder(plan)["addresses"] for plan in (usual, two)] == [[OWN], [OWN, "10.0.0.5"]]
    assert plan_of("primary", previous=usual).generation == usual.generation
    assert plan_of("all", previous=usual).generation == usual.generation + 1
    assert "10.244.0.1" not in str(forwarder(plan_of("all"))["addresses"]), "the pod network comes and goes with us"


def forwarder(plan: Plan) -> dict[str, object]:
    nodes: dict[str, dict[str, dict[str, object]]] = hostvars.render(plan)["nodeport_nodes"]  # type: ignore[assignment]
    return nodes["n1"]["forwarder"]


def test_a_node_that_would_serve_nothing_is_refused() -> None:
    with pytest.raises(PlanError, match=r"node n1: nodeport_addresses names 10\.9\.0\.0/16"):
        plan_of("10.9.0.0/16")
