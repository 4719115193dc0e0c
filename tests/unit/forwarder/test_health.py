"""Readiness as one node sees it: thresholds, and when a pod is asked again."""

from __future__ import annotations

import pytest
from nodeportd.checks import Check
from nodeportd.health import SOON, Answer, Record, answered, first, known

ANSWERS = {"+": Answer(), "-": Answer("HTTP 503"), "!": Answer("connection refused", gone=True),
           "?": Answer("no connection within 1 s", silent=True)}  # fmt: skip


def check(success: int = 1, failure: int = 3, period: int = 1, delay: int = 0, pod: str = "default/web-1") -> Check:
    """A check of a pod with these settings."""
    return Check(
        pod,
        "10.244.0.2",
        "tcp",
        80,
        initial_delay_seconds=delay,
        period_seconds=period,
        success_threshold=success,
        failure_threshold=failure,
    )


def after(record: Record, answers: str) -> Record:
    """The record after these answers, each given the moment it is due."""
    for answer in answers:
        record = answered(record, ANSWERS[answer], record.due)
    return record


@pytest.mark.parametrize(
    ("success", "failure", "answers", "expected"),
    [
        (1, 3, "+", "r"),
        (1, 3, "-", "."),
        (1, 3, "+--+---+", "rrrrrr.r"),
        (1, 1, "+-+-", "r.r."),
        (3, 1, "++-+++", ".....r"),
        (2, 2, "+-+-++-+--", ".....rrrr."),
        (1, 3, "+!+", "r.r"),
        (2, 3, "++-!++", ".rr..r"),
    ],
)
def test_thresholds_count_answers_in_a_row_but_who_is_gone_is_gone(
    success: int, failure: int, answers: str, expected: str
) -> None:
    record, seen = first(check(success, failure), 0), ""
    for answer in answers:
        record = after(record, answer)
        seen += "r" if record.ready else "."
    assert seen == expected


def test_a_pod_that_came_is_asked_when_its_delay_is_over() -> None:
    assert first(check(period=10, delay=5), 100).due == 105


@pytest.mark.parametrize("past", ["", "+++!"], ids=["new", "gone"])
def test_a_pod_that_comes_is_asked_soon_again_and_less_and_less_often(past: str) -> None:
    record = after(first(check(period=1), 100), past)
    begun, waits = record.due, []
    for _ in range(6):
        again = after(record, "-" if not past or record.run else "!")
        waits.append(round(again.due - record.due, 6))
        record = again
    assert record.due > begun
    expected = [SOON, 2 * SOON, 4 * SOON, 8 * SOON, 1, 1, 1]
    assert waits == (expected[:6] if not past else expected[1:7])


def test_a_pod_that_was_ready_and_fails_keeps_its_period() -> None:
    record = after(first(check(period=10), 100), "+---")
    assert not record.ready
    assert after(record, "-").due - record.due == 10


def test_a_silent_pod_that_is_not_ready_is_asked_every_second_as_its_node_may_come_back() -> None:
    record = after(first(check(period=10), 100), "+??")
    assert (record.ready, after(record, "?").due - record.due) == (True, 1)
    silent = after(record, "?")
    assert (silent.ready, after(silent, "?").due - silent.due) == (False, 1)
    back = after(silent, "+")
    assert (back.ready, back.due - silent.due) == (True, 10)


def test_many_pods_are_spread_over_the_period_once_they_are_ready() -> None:
    pods = [first(check(period=10, pod=f"default/web-{number}"), 100) for number in range(1000)]
    dues = [answered(pod, Answer(), 100.0).due - 100 for pod in pods]
    assert min(dues) > 0
    assert max(dues) <= 10
    tenths = [sum(int(due) == tenth for due in dues) for tenth in range(10)]
    assert min(tenths) > 60, tenths


@pytest.mark.parametrize(("late", "wait"), [(0.0, 10.0), (1.5, 10.0), (10.0, 20.0), (35.0, 40.0)])
def test_attempts_keep_their_rhythm_and_are_not_made_up_for(late: float, wait: float) -> None:
    record = after(first(check(period=10), 100), "+")
    assert answered(record, Answer(), record.due + late).due == pytest.approx(record.due + wait)


def test_what_happened_when_and_why() -> None:
    record = answered(first(check(failure=2), 100), Answer(), 101)
    assert (record.ready, record.since) == (True, 101)
    record = answered(answered(record, Answer("HTTP 503"), 102), Answer("HTTP 500"), 103)
    assert (record.ready, record.since, record.why) == (False, 103, "HTTP 500")


@pytest.mark.parametrize("answers", ["+", "+---"])
def test_a_known_pod_with_another_check_is_what_it_was(answers: str) -> None:
    before = after(first(check(), 100), answers)
    now = known(check(period=2, failure=1), 200, before)
    assert (now.ready, now.since, now.coming) == (before.ready, before.since, False)
    assert now.check.failure_threshold == 1
    assert 200 < now.due <= 202
    assert after(now, "-").ready is False
