"""``harness get`` and ``harness url``."""

from __future__ import annotations

import json

import click

from harness.cli.common import lab_of
from harness.errors import UsageError
from harness.model.address import IPFamily, with_port
from harness.model.plan import PlannedNode, PlannedService
from harness.session import inspect


@click.command("get")
@click.argument("kind", type=click.Choice([*inspect.KINDS, *inspect.ALIASES]))
@click.option("-o", "--output", type=click.Choice(["wide", "json", "yaml"]), help="More columns, or for scripts.")
@click.pass_context
def get_command(context: click.Context, kind: str, output: str | None) -> None:
    """List nodes, pods, svc or endpoints, with kubectl's columns.

    Example: harness get pods -o wide
    """
    lab = lab_of(context)
    cluster = lab.cluster()
    listing = inspect.KINDS[inspect.ALIASES.get(kind, kind)](cluster, lab.applied_plan(cluster))
    if output == "json":
        click.echo(json.dumps(listing.as_objects(), indent=2))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(listing.as_objects(), sort_keys=False), nl=False)
    elif not listing.rows:
        click.echo("No resources found.", err=True)
    else:
        click.echo(listing.show(wide=output == "wide"))


@click.command("url")
@click.argument("service", metavar="[NAMESPACE/]SERVICE")
@click.pass_context
def url_command(context: click.Context, service: str) -> None:
    """One URL a node (and a nodePort), like `minikube service --url`.

    The nodes of an nspawn lab are reached from its client's namespace; the inventory names it.

    Example: harness url web-service
    """
    lab = lab_of(context)
    cluster = lab.cluster()
    plan = lab.applied_plan(cluster)
    services = plan.services if plan else ()
    found = [entry for entry in services if service in (entry.name, entry.key)]
    if len(found) != 1:
        several = "more than one Service is" if found else "no Service is"
        known = ", ".join(entry.key for entry in services) or "nothing was applied yet"
        raise UsageError(f"{several} called {service!r}", hint=known)
    ports = [port for port in found[0].ports if port.node_port is not None]
    if not ports:
        raise UsageError(f"Service {found[0].key} has no nodePort", hint="write type: NodePort")
    planned = {node.name: node for node in plan.nodes} if plan else {}
    for port in ports:
        scheme = "http" if port.protocol == "TCP" else "udp"
        for node in cluster.nodes:
            for address in _served(planned.get(node.name), found[0]) or [node.address]:
                click.echo(f"{scheme}://{with_port(address, port.node_port or 0)}")


def _served(node: PlannedNode | None, service: PlannedService) -> list[str]:
    """One address of a node for each family of a Service."""
    if node is None:
        return []
    of_family = {IPFamily.V4: node.serving, IPFamily.V6: node.serving6}
    return [address for one in service.ip_families for address in of_family[one][:1]]
