"""``harness rollout``."""

from __future__ import annotations

import click

from harness.cli.common import lab_of, namespace_option
from harness.cli.screen import screen
from harness.plan import alter
from harness.session import change, rollout
from harness.support import clock


@click.group("rollout")
def rollout_command() -> None:
    """Replace the pods of a Deployment, or ask how far that is: `harness rollout restart|status deploy/NAME`."""


@rollout_command.command("restart")
@click.argument("what", metavar="deploy/NAME")
@namespace_option
@click.pass_context
def restart(context: click.Context, what: str, namespace: str) -> None:
    """Replace every pod, within maxSurge and maxUnavailable, losing no request.

    Example: harness rollout restart deploy/web-app
    """
    wanted = _deployment(what, namespace)
    now = clock.now().isoformat(timespec="microseconds")

    def altered(present: change.Present) -> change.Wish:
        return change.with_workload(present, alter.restarted(present.workload, wanted, now))

    with screen() as listener:
        change.change(lab_of(context), "rollout", altered, listener)
    click.echo(f"{wanted.plain} restarted")


@rollout_command.command("status")
@click.argument("what", metavar="deploy/NAME")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait at most.")
@namespace_option
@click.pass_context
def status(context: click.Context, what: str, timeout: float, namespace: str) -> None:
    """Wait until every replica is one of the present template and runs, and say so.

    Example: harness rollout status deploy/web-app
    """
    wanted = _deployment(what, namespace)
    rollout.wait(lab_of(context), wanted, timeout, click.echo)
    click.echo(f'deployment "{wanted.name}" successfully rolled out')


def _deployment(what: str, namespace: str) -> alter.Reference:
    wanted = alter.Reference.read(what, namespace)
    if wanted.kind != "Deployment":
        raise click.UsageError(f"a {wanted.kind} has no roll-out; write deploy/NAME")
    return wanted
