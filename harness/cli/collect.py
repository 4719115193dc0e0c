"""``harness collect``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.common import lab_of
from harness.session import collect
from harness.support import clock


@click.command("collect")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to (…tar.gz)."
)
@click.pass_context
def collect_command(context: click.Context, output: Path | None) -> None:
    """Put everything that explains a failure into one tar: journals, rulesets, routes, conntrack, plan, last run.

    Secrets are scrubbed. A failing `harness run` does this by itself.

    Example: harness collect -o failure.tar.gz
    """
    lab = lab_of(context)
    target = output or Path(f"harness-{lab.name}-{clock.now():%Y%m%d-%H%M%S}.tar.gz")
    click.echo(collect.collect(lab.driver.status(), lab.home, target))
