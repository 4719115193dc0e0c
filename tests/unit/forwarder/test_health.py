"""Readiness as one node sees it: thresholds, and when a pod is asked again."""

from __future__ import annotations

import pytest
from nodeportd.checks import Check
from nodeportd.health import Record, answered, first


def check(success: int = 1, failure: int = 3, period: int = 1, delay: int = 0) -> Check:
    """A check of a pod with these settings."""
    return Check(
        "default/web-1",
        "10.244.0.2",
        "tcp",
        80,
        initial_delay_seconds=delay,
        period_seconds=period,
        success_threshold=success,
        failure_threshold=failure,
    )


def ready_after(record: Record, answers: str) -> str:
    """After each answer (``+`` or ``-``), whether the pod is ready (``r``) or not (``.``)."""
    seen = ""
    for answer in answers:
        record = answered(record, answer == "+", record.due)
        seen += "r" if record.ready else "."
    return seen


@pytest.mark.parametrize(
    ("success", "failure", "answers", "expected"),
    [
        (1, 3, "+", "r"),
        (1, 3, "-", "."),
        (1, 3, "+--+---+", "rrrrrr.r"),
        (1, 1, "+-+-", "r.r."),
        (3, 1, "++-+++", ".....r"),
        (2, 2, "+-+-++-+--", ".....rrrr."),
    ],
)
def test_thresholds_count_answers_in_a_row(success: int, failure: int, answers: str, expected: str) -> None:
    assert ready_after(first(check(success, failure), 0, 0), answers) == expected


def test_the_first_attempt_waits_for_the_delay_and_a_part_of_the_period() -> None:
    assert first(check(period=10, delay=5), 100, 0.25).due == 107.5


@pytest.mark.parametrize(("now", "due"), [(100.0, 110.0), (101.5, 110.0), (110.0, 120.0), (135.0, 140.0)])
def test_attempts_keep_their_rhythm_and_are_not_made_up_for(now: float, due: float) -> None:
    assert answered(first(check(period=10), 100, 0), True, now).due == due
