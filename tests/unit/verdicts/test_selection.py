"""--focus and --skip: what they choose, and that nothing which went wrong is hidden by a choice."""

from __future__ import annotations

import dataclasses

import pytest

from harness import verdicts
from harness.errors import UsageError
from harness.model.observation import OUTSIDE
from harness.model.verdict import Status, Verdict
from tests.unit.verdicts.test_cases import plan_of

CASE = {"nodes": ["n1", "n2"], "pods": {"web-0": "n1", "web-1": "n2"}}
CELLS = verdicts.expectations(plan_of(CASE), (OUTSIDE, "n1", "n2"))
NAMES = [name for cell in CELLS for name in verdicts.names_of(cell)]
TO_N1 = "outside → n1, default/web 80 on 30008/TCP"


def test_nothing_chosen_is_everything() -> None:
    assert verdicts.EVERYTHING.of_cells(CELLS) == CELLS
    assert verdicts.EVERYTHING.provenance == {}


@pytest.mark.parametrize(
    ("focus", "skip", "cells"),
    [
        ((r"outside → n1\b",), (), {"outside → n1"}),
        (("→ n2,",), ("^.*: n1 ",), {"outside → n2", "n2 → n2"}),
        (("spread",), (), {"outside → n1", "outside → n2", "n1 → n1", "n2 → n2"}),
        (("outside", "n1 → n2"), ("outside → n2",), {"outside → n1", "n1 → n2"}),
    ],
)
def test_a_cell_is_probed_when_one_of_its_checks_is_wanted(
    focus: tuple[str, ...], skip: tuple[str, ...], cells: set[str]
) -> None:
    found = verdicts.Selection(focus, skip).of_cells(CELLS)
    assert {f"{cell.vantage} → {cell.node}" for cell in found} == cells


def test_what_went_wrong_in_a_cell_is_told_though_another_check_was_wanted() -> None:
    seen = (
        Verdict("answers", TO_N1, Status.FAIL, "12 timeout"),
        Verdict("responders", TO_N1, Status.PASS, "all"),
        Verdict("spread", TO_N1, Status.SKIP, "shares are not judged where attempts failed"),
        Verdict("node-state", "n1", Status.FAIL, "nodeportd does not run"),
        Verdict("rig", "lab", Status.ERROR, "broken"),
    )
    kept = verdicts.Selection(("spread",)).of_verdicts(seen)
    assert [verdict.check for verdict in kept] == ["answers", "spread", "rig"]
    skipped = verdicts.Selection(("spread",), ("answers",)).of_verdicts(seen)
    assert [verdict.check for verdict in skipped] == ["spread", "rig"]


@pytest.mark.parametrize(
    ("focus", "message", "hint"),
    [
        (("spraed",), "no check is called 'spraed'", "did you mean spread?"),
        (("default/wbe",), "no check is called 'default/wbe'", "did you mean default/web?"),
        (("qqqqq",), "no check is called 'qqqqq'", "harness verify --list shows all"),
    ],
)
def test_a_pattern_that_fits_nothing_is_a_mistake(focus: tuple[str, ...], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        verdicts.Selection(focus).check(NAMES)
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_choice_of_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="no check is left"):
        verdicts.Selection(("spread",), ("spread",)).check(NAMES)


def test_what_is_no_regular_expression_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        verdicts.Selection(("spread(",))


def test_every_check_of_a_cell_is_in_the_catalogue() -> None:
    ids = {check.id for check in verdicts.CHECKS}
    assert {name.partition(":")[0] for name in NAMES} <= ids


def test_a_restricted_node_port_asked_by_an_unknown_client_is_said_to_be_skipped() -> None:
    plan = plan_of({**CASE, "allowed_sources": ["192.168.56.0/28"]})
    vantages = (OUTSIDE, "n1", "n2")
    (skip,) = verdicts.left_out(plan, vantages, {})
    assert (skip.check, skip.status, skip.vantage) == ("dropped", Status.SKIP, OUTSIDE)
    assert "nodeport_client_address" in skip.summary
    assert verdicts.left_out(plan, vantages, {OUTSIDE: "192.168.56.1"}) == ()
    unrestricted = dataclasses.replace(plan.services[0], allowed_sources=())
    assert verdicts.left_out(dataclasses.replace(plan, services=(unrestricted,)), vantages, {}) == ()
