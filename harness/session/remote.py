"""A person's way to a node: OpenSSH with the lab's own configuration."""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Sequence

from harness.model.cluster import Cluster
from harness.probes.become import root
from harness.support import process, terminal

_LOGIN = ("bash", "-l")


def command(cluster: Cluster, node: str, words: Sequence[str]) -> list[str]:
    """The ``ssh`` call that runs ``words`` on a node, each word quoted for the shell at the far end."""
    return ["ssh", "-F", str(cluster.ssh_config), "-o", "BatchMode=yes", node, "--", shlex.join(words)]


def run(cluster: Cluster, node: str, words: Sequence[str], *, timeout: float = 30.0) -> process.Completed:
    """Run ``words`` on a node to the end and return what came of it."""
    return process.run(command(cluster, node, words), timeout=timeout)


def execute(cluster: Cluster, node: str, words: Sequence[str]) -> int:
    """Run ``words`` on a node as root with this process's own stdin, stdout and stderr; the command's exit code."""
    wrapped, first = root(cluster, node).wrapped(words)
    return process.interactive(command(cluster, node, wrapped), first=first)


def shell(cluster: Cluster, node: str, words: Sequence[str] = _LOGIN) -> int:
    """A shell of root on a node, for a person; without a terminal here it reads its commands from stdin.

    Where sudo wants a password that nobody told the harness, it asks the person. Raises :class:`RigError` when it
    does not take the one that the harness has.
    """
    become = root(cluster, node)
    if not sys.stdin.isatty():
        return execute(cluster, node, words)
    way = ["ssh", "-F", str(cluster.ssh_config), "-t", "-q", node, "--"]
    if not become.sudo:
        return process.interactive([*way, shlex.join(words)])
    if not become.password:
        return process.interactive([*way, shlex.join(["sudo", "--", *words])])
    prompt, ready = (f"{each}-{secrets.token_hex(8)}" for each in ("password", "ready"))
    asking = ["sudo", "-p", prompt, "--", "sh", "-c", f'printf %s {ready}; exec "$@"', "sh", *words]
    return terminal.answered([*way, shlex.join(asking)], prompt=prompt, answer=become.password, ready=ready)


def as_root(cluster: Cluster, node: str, words: Sequence[str], *, timeout: float = 30.0) -> process.Completed:
    """The same as root, also where somebody else is let in; ``words`` must not read their stdin."""
    become = root(cluster, node)
    argv = command(cluster, node, [*become.words, *words])
    return process.run(argv, timeout=timeout, stdin=become.first or None)
