"""``harness verify``."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import asdict
from pathlib import Path

import click

from harness.cli.common import lab_of, selection_options, show
from harness.cli.screen import screen
from harness.errors import UsageError
from harness.session import foreign, run
from harness.verdicts import CHECKS, Check, Selection


@click.command("verify")
@selection_options
@click.option("--expect", "expected", metavar="FILE", help="What machines promise that were not set up here.")
@click.option("--outside-only", is_flag=True, help="With --expect: probe from outside alone, without SSH.")
@click.option("--no-converge", is_flag=True, help="With --expect: change nothing there, which verify never does.")
@click.option("--list", "listing", is_flag=True, help="Every check there is, and where its promise comes from.")
@click.option("--json", "as_json", is_flag=True, help="The complete report (or list) as JSON on stdout.")
@click.pass_context
def verify_command(
    context: click.Context,
    focus: tuple[str, ...],
    skip: tuple[str, ...],
    expected: str | None,
    outside_only: bool,
    no_converge: bool,
    listing: bool,
    as_json: bool,
) -> None:
    """Probe every node, judge what was seen, and say what is wrong. Ends with the verdict's exit code.

    A full name is what reports show: "spread: outside → n1, default/web-service 80 on 30008/TCP".

    Somebody else's machines: harness verify -i hosts.yml --expect expect.yml --no-converge (docs/expect.md)

    Example: harness verify --focus 'spread.*→ n2' --json | jq '.verdicts[] | select(.status != "PASS")'
    """
    selection = Selection(focus, skip)
    if listing:
        selection.check([check.id for check in CHECKS])
        _list([check for check in CHECKS if selection.wants(check.id)], as_json=as_json)
        return
    if expected is None and (outside_only or no_converge):
        raise UsageError("--outside-only and --no-converge go with --expect FILE", hint="docs/expect.md")
    lab = lab_of(context)
    with screen() as listener:
        if expected is None:
            found = run.verify_only(lab, listener, selection)
        else:
            look = foreign.look(lab, Path(expected), listener, outside_only=outside_only)
            found = run.verify_promised(lab, look, listener, selection)
    show(found, as_json=as_json)
    context.exit(found.status.exit_code)


def _list(checks: list[Check], *, as_json: bool) -> None:
    """The catalogue, on a terminal's width or as JSON."""
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
        return
    width = min(120, shutil.get_terminal_size((100, 24)).columns) - 18
    for check in checks:
        click.echo(f"{check.id:<16}  {textwrap.fill(check.meaning, width, subsequent_indent=' ' * 18)}")
        numbers = f" (conformance rows {', '.join(map(str, check.upstream))})" if check.upstream else ""
        for told in (f"source: {check.source}{numbers}", f"needs: {check.needs}"):
            dimmed = textwrap.fill(told, width, initial_indent=" " * 18, subsequent_indent=" " * 20)
            click.echo(click.style(dimmed, dim=True))
