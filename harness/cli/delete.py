"""``harness delete``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of, namespace_option
from harness.cli.screen import screen
from harness.plan import alter
from harness.session import change, removal


@click.command("delete")
@click.argument("what", nargs=-1, metavar="[svc|pod|deploy/NAME]…")
@click.option("-f", "--filename", "paths", multiple=True, metavar="PATH", help="Everything that these manifests have.")
@namespace_option
@click.pass_context
def delete_command(context: click.Context, what: tuple[str, ...], paths: tuple[str, ...], namespace: str) -> None:
    """Remove objects from the nodes; a Deployment puts another pod in the place of a deleted one.

    The nodePorts of a deleted Service are refused on every node and free for others.

    Example: harness delete svc/web-service
    """
    if bool(what) == bool(paths):
        raise click.UsageError("name objects, as in pod/NAME, or give their manifests by -f")
    if paths:
        named, strict = removal.of_manifests(paths), False
    else:
        named, strict = removal.Named(tuple(alter.Reference.read(text, namespace) for text in what)), True
    gone: list[alter.Reference] = []

    def altered(present: change.Present) -> change.Wish:
        wish, deleted = removal.without(present, named, strict=strict)
        gone.extend(deleted)
        return wish

    with screen() as listener:
        change.change(lab_of(context), "delete", altered, listener)
    for each in gone:
        click.echo(f'{each.group} "{each.name}" deleted')
