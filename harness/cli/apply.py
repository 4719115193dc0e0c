"""``harness apply``."""

from __future__ import annotations

from dataclasses import replace

import click

from harness.cli.common import forwarder_option, lab_of, manifest_option, pod_network_option
from harness.cli.screen import screen
from harness.reports import tables
from harness.session import run


@click.command("apply")
@manifest_option
@forwarder_option
@pod_network_option
@click.pass_context
def apply_command(
    context: click.Context, paths: tuple[str, ...], forwarders: tuple[str, ...], pod_network: str | None
) -> None:
    """Plan, then converge the running nodes by Ansible. Done when every node runs the wanted generation.

    What is not in these manifests any more is removed from the nodes.

    Example: harness apply -f examples/web-app.yaml
    """
    with screen() as listener:
        lab = replace(lab_of(context), forwarders=forwarders, pod_network=pod_network)
        applied = run.apply_only(lab, paths, listener)
    click.echo(tables.plan_table(applied))
