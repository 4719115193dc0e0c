"""``harness doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from harness.cli.common import lab_of


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def doctor_command(context: click.Context, as_json: bool) -> None:
    """Say what is missing or unusable on this machine, each with the command that mends it. Changes nothing.

    Example: harness --driver nspawn doctor
    """
    checks = lab_of(context).driver.doctor()
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        console = Console(soft_wrap=True, highlight=False)
        width = max(len(check.name) for check in checks)
        for check in checks:
            sign, style = ("✓", "green") if check.ok else ("✗", "red")
            console.print(Text.assemble((sign, style), f" {check.name:<{width}}  ", check.found))
            if not check.ok:
                console.print(Text.assemble(" " * (width + 4), ("mend: ", "bold"), check.mend))
    context.exit(0 if all(check.ok for check in checks) else 4)
