"""``harness plan``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from harness.cli.common import forwarder_option, lab_of, manifest_option, pod_network_option
from harness.converge import hostvars
from harness.model.plan import Plan
from harness.reports import tables
from harness.session import apply, nodes, sources
from harness.support.files import write_atomic


@click.command("plan")
@manifest_option
@forwarder_option
@pod_network_option
@click.option(
    "--nodes", "nodes_wanted", type=click.IntRange(1, 50), metavar="N", help="Plan for N nodes yet to be made."
)
@click.option("-o", "--output", metavar="yaml|json|FILE", help="The plan for playbooks, or into a file for them.")
@click.pass_context
def plan_command(
    context: click.Context,
    paths: tuple[str, ...],
    forwarders: tuple[str, ...],
    pod_network: str | None,
    nodes_wanted: int | None,
    output: str | None,
) -> None:
    """Show what the manifests mean on the nodes: pods, addresses, ports, endpoints. Touches nothing.

    Without running nodes it plans for those that `harness up` would make.

    Example: harness plan -f examples/web-app.yaml -o plan.yml
    """
    lab = replace(lab_of(context), forwarders=forwarders, pod_network=pod_network)
    cluster = nodes.planned_for(lab, nodes_wanted)
    wanted = apply.make_plan(sources.read(paths), apply.with_choices(lab, cluster), lab.applied_plan(cluster))
    if output is None:
        click.echo(tables.plan_table(wanted))
    elif output in ("yaml", "json"):
        click.echo(_document(wanted, output), nl=False)
    else:
        write_atomic(Path(output), _document(wanted, "json" if output.endswith(".json") else "yaml"))
        click.echo(f"ansible-playbook -i {cluster.inventory} playbooks/site.yml -e @{output}")


def _document(wanted: Plan, form: str) -> str:
    """The variables that ``playbooks/site.yml`` takes."""
    from harness.converge import variables

    document = hostvars.render(wanted)
    return variables.as_json(document) if form == "json" else variables.as_yaml(document)
