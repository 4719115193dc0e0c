"""``harness verify``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of, show
from harness.cli.screen import screen
from harness.session import run


@click.command("verify")
@click.option("--json", "as_json", is_flag=True, help="The complete report as JSON on stdout.")
@click.pass_context
def verify_command(context: click.Context, as_json: bool) -> None:
    """Probe every node, judge what was seen, and say what is wrong. Ends with the verdict's exit code.

    Example: harness verify --json | jq '.verdicts[] | select(.status != "PASS")'
    """
    with screen() as listener:
        found = run.verify_only(lab_of(context), listener)
    show(found, as_json=as_json)
    context.exit(found.status.exit_code)
