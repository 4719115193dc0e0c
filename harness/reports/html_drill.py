"""Drills in the HTML report: a time line for each node, as high as the change was far. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from harness.model.drill import Course, Scenario, Slot
from harness.reports.timeline import words

_WIDE, _HIGH = 9, 26
"""Pixels of a part of the time line."""


def scenario(drill: Scenario) -> Iterator[str]:
    """One scenario: its numbers, a line for each node, and what happened when."""
    lost = sum(course.lost for course in drill.courses)
    asked = sum(course.attempts for course in drill.courses)
    kind = ' class="bad"' if lost else ""
    numbers = f"{drill.seconds:.1f} s · {asked} requests · <span{kind}>{lost} lost</span>"
    yield f"<h2>{escape(drill.title)}</h2><p>{numbers}</p>"
    yield '<div class="scroll"><table class="left">'
    for course in drill.courses:
        yield f"<tr><td>{escape(course.node)}</td><td>{_line(course, drill)}</td><td>{escape(words(course))}</td></tr>"
    yield "</table></div><p class='faint'>"
    yield "<br>".join(f"{moment.at:.2f} s {escape(moment.text)}" for moment in drill.moments)
    yield "</p>"


def _line(course: Course, drill: Scenario) -> str:
    bars = "".join(_bar(place, slot, course) for place, slot in enumerate(course.slots))
    width = _WIDE * len(course.slots)
    marks = "".join(
        f'<line x1="{at}" x2="{at}" y1="0" y2="{_HIGH}" stroke="var(--faint)" stroke-dasharray="2 3"/>'
        for at in (round(moment.at / max(drill.seconds, 0.001) * width) for moment in drill.moments)
    )
    return f'<svg width="{width}" height="{_HIGH}" role="img" aria-label="time line">{bars}{marks}</svg>'


def _bar(place: int, slot: Slot, course: Course) -> str:
    if slot.failed:
        return _rectangle(place, 1.0, "var(--bad)")
    share = slot.share(away=course.away) if course.turning else 1.0
    if share is None:
        return ""
    return _rectangle(place, max(0.08, share), "rgb(var(--share))" if course.turning else "var(--good)")


def _rectangle(place: int, share: float, fill: str) -> str:
    high = round(_HIGH * share)
    return f'<rect x="{place * _WIDE}" y="{_HIGH - high}" width="{_WIDE - 1}" height="{high}" fill="{fill}"/>'
