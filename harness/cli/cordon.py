"""``harness cordon``, ``harness uncordon`` and ``harness drain``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of
from harness.cli.screen import screen
from harness.plan.alter import Reference
from harness.session import change, removal


@click.command("cordon")
@click.argument("node", metavar="NODE")
@click.pass_context
def cordon_command(context: click.Context, node: str) -> None:
    """Give a node no new pods; those that it has stay, and it answers on nodePorts as before.

    Example: harness cordon n1
    """
    news = change.cordon(lab_of(context), node)
    click.echo(f"node/{node} cordoned" if news else f"node/{node} already cordoned")


@click.command("uncordon")
@click.argument("node", metavar="NODE")
@click.pass_context
def uncordon_command(context: click.Context, node: str) -> None:
    """Let a node have new pods again; nothing moves back by itself.

    Example: harness uncordon n1
    """
    news = change.uncordon(lab_of(context), node)
    click.echo(f"node/{node} uncordoned" if news else f"node/{node} already uncordoned")


@click.command("drain")
@click.argument("node", metavar="NODE")
@click.option("--force", is_flag=True, help="Delete for good what no Deployment would make anew elsewhere.")
@click.pass_context
def drain_command(context: click.Context, node: str, force: bool) -> None:
    """Cordon a node and move its pods to others, losing no request; it still answers on nodePorts.

    Example: harness drain n1
    """
    lab = lab_of(context)
    evicted: list[Reference] = []

    def altered(present: change.Present) -> change.Wish:
        wish, leaving = removal.drained(present, node, force=force)
        evicted.extend(leaving)
        return wish

    with screen() as listener:
        change.change(lab, "drain", altered, listener)
    click.echo(f"node/{node} cordoned")
    for pod in evicted:
        click.echo(f"pod/{pod.name} evicted")
    click.echo(f"node/{node} drained")
