"""Who answers on every node just now: as a table for a terminal, as lines, as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.model.observation import Attempt, Outcome
from harness.reports.tables import short_names

_BARS = (6, 3, 0)
"""How many signs a bar may have: as many as fit beside each other. Pods that do not fit even so share one column."""
_OTHERS = 40
"""Columns of a terminal for what is not about a pod."""
_TRAIL = 24
_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Look:
    """The answers of a short time at one node: by pod (hostname), and failures by outcome."""

    node: str
    answers: Counter[str]
    failures: Counter[str]
    slowest_ms: float

    @property
    def lost(self) -> int:
        """Requests that failed."""
        return self.failures.total()


def looks(nodes: Sequence[str], attempts: Iterable[Attempt]) -> tuple[Look, ...]:
    """What was seen at each node."""
    of_node: dict[str, list[Attempt]] = {node: [] for node in nodes}
    for attempt in attempts:
        of_node[attempt.target.node].append(attempt)
    return tuple(
        Look(
            node,
            Counter(each.responder for each in seen if each.outcome is Outcome.OK),
            Counter(str(each.outcome) for each in seen if each.outcome is not Outcome.OK),
            max((each.connect_ms or 0.0 for each in seen if each.outcome is Outcome.OK), default=0.0),
        )
        for node, seen in of_node.items()
    )


def together(seen: Sequence[Look]) -> Look:
    """Several looks at one node as one."""
    answers: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for look in seen:
        answers += look.answers
        failures += look.failures
    return Look(seen[0].node, answers, failures, max(look.slowest_ms for look in seen))


def line(look: Look) -> str:
    """One node as a line: ``n1  20 answered  0 failed  web-app-x2x7k 7  web-app-9k2vm 13``."""
    pods = "  ".join(f"{pod} {times}" for pod, times in sorted(look.answers.items()))
    ways = "".join(f"  {outcome} {times}" for outcome, times in sorted(look.failures.items()))
    return f"{look.node}  {look.answers.total()} answered  {look.lost} failed{ways}  {pods}".rstrip()


def as_object(look: Look) -> dict[str, object]:
    """The same for scripts."""
    return {
        "node": look.node,
        "answers": dict(sorted(look.answers.items())),
        "failures": dict(sorted(look.failures.items())),
        "slowest_connect_ms": round(look.slowest_ms, 2),
    }


def screen(
    title: str, history: Sequence[Sequence[Look]], homes: dict[str, str], totals: tuple[int, int], width: int
) -> RenderableType:
    """The living view: ``history`` are the looks of the last moments, newest last; ``homes`` maps pods to their nodes.

    Shares are those of the last few looks together, the trail behind them has a sign for each look.

    ``totals`` are all requests so far, and those that failed; ``width`` is the terminal's.
    """
    present = [together(looks) for looks in zip(*history[-_TOGETHER:], strict=True)]
    pods = _pods(history, homes)
    asked, lost = totals
    head = Text.assemble(
        (title, "bold"),
        f"   {asked} requests   ",
        (f"{lost} failed", "bold red" if lost else "green"),
        "   Ctrl-C ends",
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("node", no_wrap=True)
    bar = next((bar for bar in _BARS if len(pods) * (max(6, bar + 4) + 2) + _OTHERS <= width), None)
    narrow = bar is not None
    for pod, name in short_names(pods).items() if narrow else ():
        table.add_column(f"{name}\non {homes.get(pod, '?')}", no_wrap=True)
    if not narrow:
        table.add_column(f"{len(pods)} pods answer")
    failures = [_failures(look) for look in present]
    table.add_column("failed", justify="right", no_wrap=True, min_width=max(6, *map(len, failures)))
    table.add_column("slowest", justify="right", no_wrap=True, min_width=9)
    table.add_column("lately", overflow="crop")  # narrowed first, so that the rest is whole
    for place, (look, failed) in enumerate(zip(present, failures, strict=True)):
        cells = [_share(look, pod, bar or 0) for pod in pods] if narrow else [Text(f"{len(look.answers)} just now")]
        trail = _trail([moment[place] for moment in history[-_TRAIL:]])
        table.add_row(look.node, *cells, failed, f"{look.slowest_ms:.1f} ms", trail)
    # A terminal writes ^C where the cursor is: at the end of a row that fills it, that would be a row more.
    return Group(head, table, Text(""))


def _pods(history: Sequence[Sequence[Look]], homes: dict[str, str]) -> list[str]:
    recent = {pod for moment in history[-_TRAIL:] for look in moment for pod in look.answers}
    return sorted(recent | homes.keys(), key=lambda pod: (homes.get(pod, "~"), pod))


def _failures(look: Look) -> Text:
    """How many, and how most of them failed."""
    if not look.lost:
        return Text("0", "dim")
    return Text(f"{look.lost} {look.failures.most_common(1)[0][0]}", "bold red")


def _share(look: Look, pod: str, bar: int) -> Text:
    times, total = look.answers[pod], look.answers.total()
    full = round(bar * times / total) if total else 0
    style = "cyan" if times else "dim"
    return Text.assemble(("█" * full, style), ("·" * (bar - full), "dim"), (f" {times:>3}", style), no_wrap=True)


def _trail(seen: Sequence[Look]) -> Text:
    trail = Text(no_wrap=True)
    for look in seen:
        if look.lost:
            trail.append("✗", "bold red")
        else:
            trail.append("▪" if look.answers else " ", "green")
    return trail
