"""``harness snapshot``: a known state of the nodes, kept and put back."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from harness.cli.common import lab_of
from harness.cli.screen import screen
from harness.reports import tables
from harness.session import nodes, snapshots
from harness.session.phases import Phases


@click.group("snapshot")
def snapshot_command() -> None:
    """Keep a known state of all nodes and put it back, without Ansible.

    A snapshot has the nodes' disks and the plan they were given. It goes with `harness down`.

    Example: harness snapshot save green
    """


@snapshot_command.command("save")
@click.argument("name")
@click.pass_context
def save(context: click.Context, name: str) -> None:
    """Keep the present state of all nodes, which run on."""
    lab = lab_of(context)
    with screen() as listener, Phases(listener).phase("save") as summary:
        kept = snapshots.save(lab, name, listener)
        summary.text = f"{kept.name} has {nodes.names(list(kept.nodes))}"


@snapshot_command.command("restore")
@click.argument("name")
@click.pass_context
def restore(context: click.Context, name: str) -> None:
    """Put all nodes back to a kept state; done when they run again what they had been given."""
    lab = lab_of(context)
    with screen() as listener, Phases(listener).phase("restore") as summary:
        summary.text = nodes.summary(snapshots.restore(lab, name, listener))


@snapshot_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def list_them(context: click.Context, as_json: bool) -> None:
    """List the kept states, oldest first."""
    found = snapshots.known(lab_of(context))
    if as_json:
        click.echo(json.dumps([asdict(snapshot) for snapshot in found], indent=2))
    elif not found:
        click.echo("No snapshots found.", err=True)
    else:
        rows = [(snapshot.name, snapshot.taken, ",".join(snapshot.nodes)) for snapshot in found]
        click.echo(tables.table(("NAME", "TAKEN", "NODES"), rows))


@snapshot_command.command("delete")
@click.argument("name")
@click.pass_context
def delete(context: click.Context, name: str) -> None:
    """Forget a kept state."""
    lab = lab_of(context)
    snapshots.delete(lab, name)
    click.echo(f"snapshot {name} deleted")
