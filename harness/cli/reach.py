"""``harness exec`` and ``harness shell``: a person's way in."""

from __future__ import annotations

import click

from harness.cli.common import lab_of
from harness.errors import UsageError
from harness.model.cluster import Cluster
from harness.model.plan import Plan, PlannedPod
from harness.session import remote
from harness.session.lab import Lab


def _without_dashes(context: click.Context, argument: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """The command after ``--``, which stays among the words where options end at the first argument."""
    command = words[1:] if words[:1] == ("--",) else words
    if not command:
        raise click.MissingParameter(ctx=context, param=argument)
    return command


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("where", metavar="NODE|pod/NAME")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, callback=_without_dashes)
@click.pass_context
def exec_command(context: click.Context, where: str, command: tuple[str, ...]) -> None:
    """Run a command as root on a node, or in a pod's network namespace; ends with the command's own exit code.

    Example: harness exec pod/default/web-app -- ss -tln
    """
    lab = lab_of(context)
    cluster = lab.cluster()
    node, prefix = _place(lab, cluster, where)
    context.exit(remote.execute(cluster, node, [*prefix, *command]))


@click.command("shell")
@click.argument("where", metavar="[NODE|pod/NAME]", required=False)
@click.pass_context
def shell_command(context: click.Context, where: str | None) -> None:
    """A shell of root on a node (the first one when none is named), or in a pod's network namespace.

    Example: harness shell n2
    """
    lab = lab_of(context)
    cluster = lab.cluster()
    node, prefix = _place(lab, cluster, where or cluster.nodes[0].name)
    context.exit(remote.shell(cluster, node, [*prefix, "bash", "-l"]))


def _place(lab: Lab, cluster: Cluster, where: str) -> tuple[str, list[str]]:
    """The node to go to, and what to put before the command there."""
    if not where.startswith("pod/"):
        known = [node.name for node in cluster.nodes]
        if where not in known:
            raise UsageError(f"there is no node {where!r}", hint=f"nodes: {', '.join(known)}; pods: pod/NAME")
        return where, []
    pod = find_pod(lab.applied_plan(cluster), where.removeprefix("pod/"))
    return pod.node, ["/usr/local/lib/nodeport/podctl", "exec", pod.key, "--"]


def find_pod(plan: Plan | None, name: str) -> PlannedPod:
    """The pod of that name, or the only one whose name begins so; ``namespace/name`` is understood.

    Raises :class:`UsageError` with the pods there are.
    """
    pods = plan.pods if plan else ()
    fitting = [pod for pod in pods if name in (pod.name, pod.key)]
    fitting = fitting or [pod for pod in pods if pod.name.startswith(name) or pod.key.startswith(name)]
    if len(fitting) != 1:
        several = "more than one pod is" if fitting else "no pod is"
        hint = ", ".join(pod.key for pod in (fitting or pods)) or "nothing was applied yet"
        raise UsageError(f"{several} called {name!r}", hint=hint)
    return fitting[0]
