"""``harness scale``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of, namespace_option
from harness.cli.screen import screen
from harness.plan import alter
from harness.session import change


@click.command("scale")
@click.argument("what", metavar="deploy/NAME")
@click.option("--replicas", type=click.IntRange(0, 100_000), required=True, metavar="N", help="How many pods.")
@namespace_option
@click.pass_context
def scale_command(context: click.Context, what: str, replicas: int, namespace: str) -> None:
    """Run more or fewer pods of a Deployment or ReplicaSet, losing no request; done when every node knows.

    The next `harness apply` brings the number of the manifest back, as kubectl's does.

    Example: harness scale deploy/web-app --replicas 6
    """
    wanted = alter.Reference.read(what, namespace)

    def altered(now: change.Present) -> change.Wish:
        return change.with_workload(now, alter.scaled(now.workload, wanted, replicas))

    with screen() as listener:
        change.change(lab_of(context), "scale", altered, listener)
    click.echo(f"{wanted.plain} scaled")
