"""What a drill's traffic means: the course of every node, and whether it was as it should be. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.model.drill import Course, Scenario, Slot
from harness.model.observation import Attempt, Outcome
from harness.model.verdict import Status, Verdict

SLOTS = 48
"""So many parts has a time line."""

ENOUGH = 50
"""With fewer attempts at a node nothing is said of it."""


@dataclass(frozen=True, slots=True)
class Turnover:
    """The pods (uid → name) that leave and that come in a scenario; all others stay."""

    leaving: Mapping[str, str]
    coming: Mapping[str, str]


def course(node: str, attempts: Iterable[Attempt], pods: Turnover, began: float, seconds: float) -> Course:
    """How one node went through a scenario that began then (on the clock of the attempts) and took so many seconds."""
    asked = sorted(attempts, key=lambda attempt: attempt.began)
    failed = [attempt for attempt in asked if attempt.outcome is not Outcome.OK]
    answered = [attempt for attempt in asked if attempt.outcome is Outcome.OK]
    times: dict[str, list[float]] = {}
    for attempt in answered:
        times.setdefault(attempt.uid, []).append(attempt.began - began)
    return Course(
        node=node,
        attempts=len(asked),
        failures=dict(Counter(str(attempt.outcome) for attempt in failed)),
        failed_first=failed[0].began - began if failed else None,
        failed_last=failed[-1].began - began if failed else None,
        blackout=_blackout(asked),
        slowest_ms=max((attempt.connect_ms or 0.0 for attempt in answered), default=0.0),
        first_answer={name: min(times[uid]) if uid in times else None for uid, name in pods.coming.items()},
        last_answer={name: max(times[uid]) if uid in times else None for uid, name in pods.leaving.items()},
        slots=tuple(_slots(asked, pods, began, seconds)),
    )


def _blackout(asked: Sequence[Attempt]) -> float:
    longest, last_good, failing = 0.0, asked[0].began if asked else 0.0, False
    for attempt in asked:
        if attempt.outcome is Outcome.OK:
            longest = max(longest, attempt.began - last_good) if failing else longest
            last_good, failing = attempt.began, False
        else:
            failing = True
    return max(longest, asked[-1].began - last_good) if failing else longest


def _slots(asked: Sequence[Attempt], pods: Turnover, began: float, seconds: float) -> Iterator[Slot]:
    kinds = [Counter[str]() for _ in range(SLOTS)]
    for attempt in asked:
        place = int((attempt.began - began) / max(seconds, 0.001) * SLOTS)
        kinds[min(SLOTS - 1, max(0, place))][_kind(attempt, pods)] += 1
    return (Slot(each["leaving"], each["coming"], each["staying"], each["failed"]) for each in kinds)


def _kind(attempt: Attempt, pods: Turnover) -> str:
    if attempt.outcome is not Outcome.OK:
        return "failed"
    return "leaving" if attempt.uid in pods.leaving else "coming" if attempt.uid in pods.coming else "staying"


def judge(scenario: Scenario) -> tuple[Verdict, ...]:
    """One verdict a node on what it lost, and one on whom it led to while pods came and went."""
    return tuple(verdict for each in scenario.courses for verdict in _judged(scenario, each))


def _judged(scenario: Scenario, course: Course) -> Iterator[Verdict]:
    def verdict(check: str, status: Status, summary: str) -> Verdict:
        subject = f"{scenario.title}: clients of {course.node}"
        evidence = {"scenario": scenario.name, "attempts": course.attempts, "lost": course.lost,
                    "blackout_seconds": round(course.blackout, 4)}  # fmt: skip
        return Verdict(check, subject, status, summary, course.node, "outside", scenario.service, evidence)

    name = f"drill-{scenario.name}"
    if course.attempts < ENOUGH:
        yield verdict(name, Status.INCONCLUSIVE, f"only {course.attempts} requests were made")
        return
    yield verdict(name, *_of_losses(scenario, course))
    if course.first_answer or course.last_answer:
        yield verdict(f"{name}-turnover", *_of_turnover(scenario, course))


def _of_losses(scenario: Scenario, course: Course) -> tuple[Status, str]:
    told = f"{course.lost} of {course.attempts} requests failed"
    if not course.lost or course.failed_first is None or course.failed_last is None:
        return Status.PASS, f"none of {course.attempts} requests failed"
    ways = ", ".join(f"{times} {outcome}" for outcome, times in sorted(course.failures.items()))
    when = f"{told} ({ways}), from {course.failed_first:.2f} s to {course.failed_last:.2f} s"
    if scenario.planned:
        return Status.FAIL, f"{when}; a planned change may lose none"
    if course.node == scenario.spared:
        back = course.failed_last < scenario.seconds - 1.0
        return (Status.PASS if back else Status.FAIL), f"{when}; it {'answers' if back else 'does not answer'} again"
    if course.failed_last > scenario.patience:
        return Status.FAIL, f"{when}; they may fail for {scenario.patience:g} s, until it is noticed"
    return Status.PASS, f"{when}: noticed within {course.failed_last:.2f} s"


def _of_turnover(scenario: Scenario, course: Course) -> tuple[Status, str]:
    silent = [pod for pod, at in course.first_answer.items() if at is None]
    late = [pod for pod, at in course.last_answer.items() if at is not None and at > scenario.ended]
    if silent:
        return Status.FAIL, f"new pods that never answered here: {', '.join(silent)}"
    if late:
        return Status.FAIL, f"pods that answered after they should be gone: {', '.join(late)}"
    first, last = heard(course.first_answer), heard(course.last_answer)
    return Status.PASS, "; ".join(
        f"{what} {min(times):.2f} to {max(times):.2f} s" if len(times) > 1 else f"{what} {times[0]:.2f} s"
        for what, times in (("new pods answered first at", first), ("old ones last at", last))
        if times
    )


def heard(times: Mapping[str, float | None]) -> list[float]:
    """The times of the pods that answered at all, in order."""
    return sorted(at for at in times.values() if at is not None)


def gaps(asked: Sequence[Attempt]) -> float:
    """The longest time in which nobody asked: what may have happened in it, nobody saw."""
    began = sorted(attempt.began for attempt in asked)
    return max((later - earlier for earlier, later in pairwise(began)), default=0.0)
