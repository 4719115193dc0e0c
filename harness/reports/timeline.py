"""Drills as a time line for a terminal: how far a change was at each node, and where requests failed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.model.drill import Course, Scenario, Slot

_STEPS = "▁▂▃▄▅▆▇█"


def scenario(drill: Scenario) -> RenderableType:
    """One scenario: a head, a line for each node, and what happened when."""
    lost = sum(course.lost for course in drill.courses)
    asked = sum(course.attempts for course in drill.courses)
    numbers = f"  {drill.seconds:.1f} s · {asked} requests · "
    head = Text.assemble((drill.title, "bold"), numbers, (f"{lost} lost", "bold red" if lost else "green"))
    rows = Table.grid(padding=(0, 2))
    for course in drill.courses:
        rows.add_row(f"  {course.node}", _line(course), Text(words(course), "bold red" if course.lost else "dim"))
    return Padding(Group(head, rows, _ruler(drill), *_moments(drill)), (0, 0, 1, 0))


def _line(course: Course) -> Text:
    line = Text(no_wrap=True)
    for slot in course.slots:
        line.append(*_sign(slot, course))
    return line


def _sign(slot: Slot, course: Course) -> tuple[str, str]:
    share = slot.share(away=course.away)
    if slot.failed:
        return "✗", "bold red"
    if share is None:
        return " ", ""
    if not course.turning:
        return _STEPS[-1], "green"
    return _STEPS[round(share * (len(_STEPS) - 1))], "cyan" if share else "blue"


def words(course: Course) -> str:
    """What a node's line comes to: ``first new 2.10 s · last old 3.40 s · 3 lost, blackout 0.05 s``."""
    first = [at for at in course.first_answer.values() if at is not None]
    last = [at for at in course.last_answer.values() if at is not None]
    said = [f"first new {min(first):.2f} s"] if first else []
    said += [f"last old {max(last):.2f} s"] if last else []
    said += [f"{course.lost} lost, blackout {course.blackout:.2f} s"] if course.lost else []
    return " · ".join(said)


def _ruler(drill: Scenario) -> Text:
    width = max((len(course.slots) for course in drill.courses), default=0)
    indent = max((len(course.node) for course in drill.courses), default=0) + 4
    marks = [" "] * width
    for moment in drill.moments:
        marks[min(width - 1, max(0, int(moment.at / max(drill.seconds, 0.001) * width)))] = "╵"
    return Text(" " * indent + "".join(marks), "dim")


def _moments(drill: Scenario) -> Sequence[Text]:
    return [Text.assemble((f"  {moment.at:7.2f} s  ", "dim"), (moment.text, "dim")) for moment in drill.moments]
