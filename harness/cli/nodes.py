"""``harness up`` and ``harness down``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of, node_options, wish_of
from harness.cli.screen import screen
from harness.session import nodes
from harness.session.phases import Phases


@click.command("up")
@node_options
@click.pass_context
def up_command(
    context: click.Context,
    nodes_wanted: int | None,
    releases: str | None,
    subnets: int | None,
    families: str | None,
) -> None:
    """Make the nodes and wait until each answers to SSH. Called again: heal, grow or shrink.

    Example: harness up --nodes 4 --release bookworm,trixie
    """
    lab = lab_of(context)
    with screen() as listener, lab.changing(), Phases(listener).phase("up") as summary:
        wish = wish_of(lab, nodes_wanted, releases, subnets, families)
        cluster = nodes.up(lab, wish or nodes.usual(lab), listener)
        summary.text = nodes.summary(cluster)
    click.echo(f"ssh -F {cluster.ssh_config} {cluster.nodes[0].name}")
    nodes.complain(cluster)


@click.command("down")
@click.option("--reset", "put_back", is_flag=True, help="First put the machines of an inventory back as they were.")
@click.pass_context
def down_command(context: click.Context, put_back: bool) -> None:
    """Remove the nodes and every trace of them; reports stay in .harness/. Called again it does nothing.

    Machines of an inventory stay; --reset takes our work off them.
    """
    lab = lab_of(context)
    if put_back:
        with screen() as listener, lab.changing(), Phases(listener).phase("reset") as summary:
            left = nodes.reset(lab, listener)
            summary.text = "; ".join(["the machines are as they were", *left])
    with screen() as listener, lab.changing(), Phases(listener).phase("down") as summary:
        nodes.down(lab, listener)
        summary.text = "no node is left" if lab.driver.makes_nodes else "the machines are yours, and stay"
