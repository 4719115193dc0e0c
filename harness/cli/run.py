"""``harness run``."""

from __future__ import annotations

from dataclasses import replace

import click

from harness.cli.common import (
    forwarder_option,
    lab_of,
    manifest_option,
    node_options,
    pod_network_option,
    selection_options,
    show,
    wish_of,
)
from harness.cli.screen import screen
from harness.model.verdict import Status
from harness.session import run
from harness.verdicts import Selection


@click.command("run")
@manifest_option
@forwarder_option
@pod_network_option
@node_options
@selection_options
@click.option(
    "--destroy",
    type=click.Choice([choice.value for choice in run.Destroy]),
    default=run.Destroy.PASSING.value,
    show_default=True,
    help="When to remove nodes that this run made; nodes it found running always stay.",
)
@click.option("--json", "as_json", is_flag=True, help="The complete report as JSON on stdout.")
@click.pass_context
def run_command(
    context: click.Context,
    paths: tuple[str, ...],
    forwarders: tuple[str, ...],
    pod_network: str | None,
    nodes_wanted: int | None,
    releases: str | None,
    subnets: int | None,
    families: str | None,
    focus: tuple[str, ...],
    skip: tuple[str, ...],
    destroy: str,
    as_json: bool,
) -> None:
    """Up (if needed), apply, verify, report: the whole proof. Ends with the verdict's exit code.

    Example: harness run -f examples/web-app.yaml --destroy never
    """
    selection = Selection(focus, skip)
    lab = replace(lab_of(context), forwarders=forwarders, pod_network=pod_network)
    wish = wish_of(lab, nodes_wanted, releases, subnets, families)
    with screen() as listener:
        found = run.run(lab, paths, wish, run.Destroy(destroy), listener, selection)
    show(found, as_json=as_json)
    if found.status is not Status.PASS and not as_json and lab.driver.status() is not None:
        click.echo("  the nodes still run, for a look: harness shell n1; harness down removes them", err=True)
    context.exit(found.status.exit_code)
