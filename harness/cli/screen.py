"""What a person sees while something takes time.

On a terminal: a living line for the present phase and, while Ansible runs, one for each node. Elsewhere: plain
lines, so that a log can be read afterwards. Everything goes to stderr; stdout is for results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.model.convergence import TaskResult, TaskStatus
from harness.model.progress import Event, Listener, PhaseEnded, PhaseStarted, Step, TaskStarted

_SHOWN_NODES = 12


class _Screen:
    """The present phase, its last step, and what every node has done in it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.phase = ""
        self.step = ""
        self.nodes: dict[str, Counter[TaskStatus]] = {}
        self.spinner = Spinner("dots")

    def __call__(self, event: Event) -> None:
        match event:
            case PhaseStarted(name):
                self.phase, self.step, self.nodes = name, "", {}
            case PhaseEnded():
                self.console.print(_ended(event))
                self.phase = ""
            case Step(text):
                self._say(text)
            case TaskStarted(task):
                self._say(task)
            case TaskResult():
                self._count(event)

    def _say(self, text: str) -> None:
        if text == self.step:  # Ansible begins some tasks once for each node
            return
        self.step = text
        if not self.console.is_terminal:
            self.console.print(f"  {self.phase}: {text}", markup=False, highlight=False)

    def _count(self, result: TaskResult) -> None:
        self.nodes.setdefault(result.node, Counter())[result.status] += 1
        if result.status in (TaskStatus.FAILED, TaskStatus.UNREACHABLE):
            self.console.print(Text(f"  {result.node}: {result.task}: {result.status}", style="red"))

    def __rich__(self) -> RenderableType:
        if not self.phase:
            return Text("")
        self.spinner.update(text=Text.assemble((f"{self.phase:<9}", "bold"), self.step))
        return Group(self.spinner, self._node_table()) if self.nodes else self.spinner

    def _node_table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, counts in sorted(self.nodes.items())[:_SHOWN_NODES]:
            table.add_row(f"  {name}", f"{counts[TaskStatus.OK]} ok", f"{counts[TaskStatus.CHANGED]} changed")
        if len(self.nodes) > _SHOWN_NODES:
            table.add_row(f"  … and {len(self.nodes) - _SHOWN_NODES} more nodes")
        return table


def _ended(event: PhaseEnded) -> Text:
    sign, style = ("✗", "red") if event.failed else ("✓", "green")
    return Text.assemble((sign, style), f" {event.name:<8} ", event.summary, (f"  {event.seconds:.1f} s", "dim"))


@contextmanager
def screen() -> Iterator[Listener]:
    """A listener that shows events on stderr while it holds."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    shown = _Screen(console)
    if not console.is_terminal:
        yield shown
        return
    with Live(shown, console=console, refresh_per_second=12, transient=True):
        yield shown
