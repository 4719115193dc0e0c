"""``harness watch``."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack

import click
from rich.console import Console
from rich.live import Live

from harness.cli.common import lab_of
from harness.model.observation import Attempt
from harness.model.plan import Plan
from harness.reports import watch as view
from harness.session import watch
from harness.support import clock

EVERY = 0.5
"""Seconds between two looks on a terminal; elsewhere twice as long."""


@click.command("watch")
@click.argument("service", metavar="[[NAMESPACE/]SERVICE]", required=False)
@click.option("--for", "seconds", type=click.FloatRange(0), metavar="SECONDS", help="End by itself after so long.")
@click.option(
    "--rate", type=click.FloatRange(2, 1000), default=40.0, show_default=True, help="New connections a second and node."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a second and node, for scripts.")
@click.pass_context
def watch_command(
    context: click.Context, service: str | None, seconds: float | None, rate: float, as_json: bool
) -> None:
    """Show live who answers on every node, until Ctrl-C; exit code 1 when a request failed.

    Example: harness watch web-service --for 30
    """
    lab = lab_of(context)
    title = f"{service or 'the first Service'} on every node of {lab.name}"
    with ExitStack() as stack:
        console = Console(highlight=False)
        living = console.is_terminal and not as_json
        shown = (
            _Living(title, stack.enter_context(Live(console=console, transient=False))) if living else _Lines(as_json)
        )
        seen = watch.watch(lab, service, rate, seconds, EVERY if living else 2 * EVERY, shown.show)
    click.echo(f"{seen.asked} requests, {seen.lost} failed", err=True)
    context.exit(1 if seen.lost else 0)


class _Living:
    """A table that changes in its place."""

    def __init__(self, title: str, live: Live) -> None:
        self._title = title
        self._live = live
        self._history: deque[Sequence[view.Look]] = deque(maxlen=40)

    def show(self, attempts: Sequence[Attempt], seen: watch.Seen, plan: Plan) -> None:
        self._history.append(view.looks([node.name for node in plan.nodes], attempts))
        homes = {pod.name: pod.node for pod in plan.pods}
        totals, width = (seen.asked, seen.lost), self._live.console.width
        self._live.update(view.screen(self._title, list(self._history), homes, totals, width), refresh=True)


class _Lines:
    """A line a node, for logs and scripts."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def show(self, attempts: Sequence[Attempt], _seen: watch.Seen, plan: Plan) -> None:
        now = clock.now()
        for look in view.looks([node.name for node in plan.nodes], attempts):
            if self._as_json:
                click.echo(json.dumps({"at": now.isoformat(timespec="milliseconds"), **view.as_object(look)}))
            else:
                click.echo(f"{now:%H:%M:%S}  {view.line(look)}")
        sys.stdout.flush()
