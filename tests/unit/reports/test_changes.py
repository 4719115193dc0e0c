"""The pictures of change: a drill's time line, and the living view of who answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from harness.model.drill import Course, Moment, Scenario, Slot
from harness.model.observation import Attempt, Outcome, Target
from harness.model.run import Run
from harness.model.verdict import Status, Verdict
from harness.model.workload import Protocol
from harness.reports import html, timeline, watch


def text_of(shown: RenderableType, width: int = 120) -> str:
    out = StringIO()
    Console(file=out, width=width, highlight=False).print(shown)
    return out.getvalue()


def course(node: str, slots: list[Slot], lost: int = 0) -> Course:
    failures = {"refused": lost} if lost else {}
    return Course(node, 100, failures, 1.0, 1.5, 0.5, 0.3, {"web-new": 2.0}, {"web-old": 1.8}, tuple(slots))


def scenario(*courses: Course) -> Scenario:
    moments = (Moment(0.0, "pods start and end"), Moment(2.5, "done"))
    return Scenario("rolling-restart", "Every pod is replaced", "default/web", True, 100, 4.0, 2.5, moments, courses)


def test_a_time_line_rises_as_the_new_pods_take_over_and_shows_what_failed() -> None:
    calm = course("n1", [Slot(leaving=9), Slot(leaving=5, coming=5), Slot(coming=9), Slot()])
    torn = course("n2", [Slot(leaving=9), Slot(leaving=5, failed=1), Slot(coming=9), Slot(coming=9)], lost=3)
    shown = text_of(timeline.scenario(scenario(calm, torn)))
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0] == "Every pod is replaced  4.0 s · 200 requests · 3 lost"
    assert lines[1].split() == ["n1", "▁▅█", "first", "new", "2.00", "s", "·", "last", "old", "1.80", "s"]
    assert lines[2].split()[:2] == ["n2", "▁✗██"]
    assert "3 lost, blackout 0.50 s" in lines[2]
    assert lines[3] == "      ╵ ╵", "marks stand under the time at which something happened"
    assert "0.00 s  pods start and end" in lines[4]


def test_more_pods_rise_from_nothing_and_where_none_comes_or_goes_the_line_is_full() -> None:
    more = course("n1", [Slot(staying=9), Slot(staying=5, coming=5)])
    same = course("n2", [Slot(staying=9), Slot(staying=9)])
    shown = text_of(timeline.scenario(scenario(more, same)))
    assert "▁▅" in shown
    assert "██" in shown


def attempts(node: str, **answers: int) -> list[Attempt]:
    target = Target(node, "10.0.0.1", 30008, Protocol.TCP)
    found = []
    for pod, times in answers.items():
        outcome = Outcome.REFUSED if pod == "failed" else Outcome.OK
        found += [Attempt("outside", target, outcome, 1, 0.5, 1.0, "" if pod == "failed" else pod)] * times
    return found


def test_a_look_is_a_line_and_an_object_for_every_node_also_for_a_silent_one() -> None:
    first, second = watch.looks(["n1", "n2"], attempts("n1", a=3, b=1, failed=2))
    assert watch.line(first) == "n1  4 answered  2 failed  refused 2  a 3  b 1"
    assert watch.line(second) == "n2  0 answered  0 failed"
    assert watch.as_object(first) == {
        "node": "n1",
        "answers": {"a": 3, "b": 1},
        "failures": {"refused": 2},
        "slowest_connect_ms": 0.5,
    }


def test_the_screen_has_a_row_a_node_and_a_column_a_pod_and_folds_many_pods() -> None:
    history = [watch.looks(["n1", "n2"], attempts("n1", a=3, b=1) + attempts("n2", a=1, failed=1))] * 2
    shown = text_of(watch.screen("web on every node", history, {"a": "n1", "b": "n2", "idle": "n2"}, (12, 2), 120))
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith(("n1", "n2"))]
    assert "12 requests   2 failed" in shown
    assert "idle" in shown, "a pod that should answer has its column before it does"
    assert rows[0] == ["n1", "████··", "6", "██····", "2", "······", "0", "0", "0.5", "ms", "▪▪"]
    assert rows[1][-1] == "✗✗"
    many = [watch.looks(["n1"], attempts("n1", **{f"pod{n}": 1 for n in range(30)}))]
    assert "30 pods answer" in text_of(watch.screen("web", many, {}, (30, 0), 120))


@pytest.mark.parametrize(("pods", "width", "bar"), [(3, 80, 6), (5, 80, 0), (9, 80, None), (9, 140, 3), (4, 110, 6)])
def test_the_screen_shows_as_much_as_the_terminal_has_room_for(pods: int, width: int, bar: int | None) -> None:
    seen = attempts("n1", failed=1, **{f"web-app-5d4f8c7b9-abc{n:02}": 2 for n in range(pods)})
    shown = text_of(watch.screen("web", [watch.looks(["n1"], seen)], {}, (9, 0), width), width)
    row = next(line for line in shown.splitlines() if line.startswith(" n1"))
    assert "1 refused" in row
    assert "ms" in row
    numbers = row.split("1 refused")[0].replace("█", "").replace("·", "").split()[1:]
    assert numbers == (["2"] * pods if bar is not None else [str(pods), "just", "now"])
    assert sum(row.count(sign) for sign in "█·") == pods * (bar or 0)


def test_looks_add_up() -> None:
    first, second = watch.looks(["n1"], attempts("n1", a=1)) + watch.looks(["n1"], attempts("n1", a=2, failed=1))
    both = watch.together([first, second])
    assert (both.answers, both.lost) == (Counter(a=3), 1)


def test_the_living_view_ends_with_an_empty_line_where_a_terminal_puts_its_sign_for_ctrl_c() -> None:
    """After a full row the sign made a row more, and the title stood there twice."""
    shown = text_of(watch.screen("web", [watch.looks(["n1"], attempts("n1", a=3))], {}, (3, 0), 76), 76)
    assert shown.split("\n")[-2:] == ["", ""]


def test_the_html_report_has_the_drill_and_escapes_it() -> None:
    odd = replace(scenario(course("n1", [Slot(leaving=9), Slot(failed=1), Slot(coming=9)], lost=2)), title="<all> pods")
    verdict = Verdict("drill-x", "n1", Status.FAIL, "2 lost")
    run = Run("runs/1", "lab", "nspawn", "2026-11-21T03:00:00+00:00", 4.0, verdicts=(verdict,), scenarios=(odd,))
    page = html.render(run)
    assert "&lt;all&gt; pods" in page
    assert "<all>" not in page
    assert page.count("<rect") == 3
    assert "2 lost, blackout 0.50 s" in page
    assert "100 probes" in page
