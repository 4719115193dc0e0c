"""Each check has been seen red: on real nodes a fault that was injected made it fail, and a test says so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.verdicts import CHECKS
from tests.lab.faults import FAULTS

LAB = Path(__file__).parents[2] / "lab"
NEVER_RED = {"sample": "says what was left to chance; it judges nothing"}
OF_FAULTS = "test_faults.py::test_a_fault_is_found_and_named"
RED = {
    "answers": OF_FAULTS,
    "responders": OF_FAULTS,
    "coverage": OF_FAULTS,
    "spread": OF_FAULTS,
    "hairpin": "test_inside.py::test_a_broken_promise_inside_is_found_with_node_and_cause",
    "turns": "test_expect.py::test_round_robin_is_proven_and_random_is_not_it",
    "closed": "test_ports.py::test_a_service_that_a_label_leaves_to_another_proxy_is_let_alone_and_taken_back",
    "affinity": "test_policies.py::test_a_policy_that_is_not_kept_is_found",
    "clients": "test_policies.py::test_a_policy_that_is_not_kept_is_found",
    "source": "test_policies.py::test_a_policy_that_is_not_kept_is_found",
    "dropped": "test_policies.py::test_a_policy_that_is_not_kept_is_found",
    "refused": "test_ports.py::test_a_port_without_endpoints_that_swallows_udp_is_found",
    "health-check": "test_ports.py::test_a_health_check_that_lies_is_found",
    "endpoints": "test_run.py::test_a_selector_without_pods_is_red_and_explained_then_mended_on_the_same_nodes",
    "node-state": "test_policies.py::test_what_no_probe_can_see_the_node_itself_tells",
    "rig": "test_bad_machines.py::test_a_machine_that_cannot_be_reached_is_named_and_the_others_are_proven",
}


@pytest.mark.parametrize("check", [check.id for check in CHECKS])
def test_a_fault_makes_it_fail(check: str) -> None:
    assert (check in RED) != (check in NEVER_RED), "name the test in which a fault makes it fail"
    if check in RED:
        file, _, function = RED[check].partition("::")
        assert check in words_of(LAB / file, function), f"{RED[check]} does not say that {check} fails"


def test_no_check_is_named_that_is_no_more() -> None:
    assert RED.keys() | NEVER_RED.keys() == {check.id for check in CHECKS}


def words_of(file: Path, function: str) -> set[str]:
    """The texts in a test, its parameters included; for tests of the list of faults, the checks that these name."""
    if f"{file.name}::{function}" == OF_FAULTS:
        return {fault.check for fault in FAULTS}
    tree = ast.parse(file.read_text())
    (found,) = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == function]
    return {each.value for each in ast.walk(found) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
