"""``harness drill``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of, show
from harness.cli.screen import screen
from harness.session import drill, scenarios


@click.command("drill")
@click.argument("service", metavar="[[NAMESPACE/]SERVICE]", required=False)
@click.option("--only", "names", multiple=True, metavar="SCENARIO", help="Only this scenario; may be repeated.")
@click.option(
    "--destructive",
    is_flag=True,
    help="Also what breaks a node (reboot, power); on your own machines, what breaks anything.",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 1000),
    default=100.0,
    show_default=True,
    help="New connections a second and node.",
)
@click.option("--list", "as_list", is_flag=True, help="Only say which scenarios there are.")
@click.option("--json", "as_json", is_flag=True, help="The complete report as JSON on stdout.")
@click.pass_context
def drill_command(
    context: click.Context,
    service: str | None,
    names: tuple[str, ...],
    destructive: bool,
    rate: float,
    as_list: bool,
    as_json: bool,
) -> None:
    """Change, kill and reload things under a steady stream of requests, and judge what every node's clients saw.

    Planned changes may lose no request; after a failure requests may fail until it is noticed. What was scaled or
    cordoned is put back at the end. Ends with the verdict's exit code.

    Example: harness drill web-service --only rolling-restart --only pod-killed
    """
    lab = lab_of(context)
    plays = scenarios.chosen(lab, names, destructive=destructive)
    if as_list:
        for play in plays:
            click.echo(f"{play.name:<18} {play.title}")
        return
    with screen() as listener:
        found = drill.drill(lab, service, plays, rate, listener)
    show(found, as_json=as_json)
    context.exit(found.status.exit_code)
