"""``harness reboot``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of
from harness.cli.screen import screen
from harness.session import nodes, power
from harness.session.phases import Phases


@click.command("reboot")
@click.argument("names", nargs=-1, metavar="[NODE]...")
@click.option("--hard", is_flag=True, help="Cut the power instead of asking the nodes.")
@click.pass_context
def reboot_command(context: click.Context, names: tuple[str, ...], hard: bool) -> None:
    """Reboot nodes (all, when none is named), and wait until they run again what they had been given.

    Everything must come back by itself: no Ansible runs. `harness verify` then proves it.

    Example: harness reboot n2 --hard
    """
    lab = lab_of(context)
    boot = power.power_cycle if hard else power.reboot
    with screen() as listener, Phases(listener).phase("reboot") as summary:
        booted = boot(lab, names, listener)
        summary.text = f"{nodes.names([node.name for node in booted])} booted anew, and run what they were given"
