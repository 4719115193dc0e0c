"""A person's way to a node: OpenSSH with the lab's own configuration."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.model.cluster import Cluster
from harness.probes.become import root
from harness.support import process


def command(cluster: Cluster, node: str, words: Sequence[str]) -> list[str]:
    """The ``ssh`` call that runs ``words`` on a node, each word quoted for the shell at the far end."""
    return ["ssh", "-F", str(cluster.ssh_config), "-o", "BatchMode=yes", node, "--", shlex.join(words)]


def terminal(cluster: Cluster, node: str, words: Sequence[str]) -> list[str]:
    """As :func:`command`, with a terminal at the far end; without words it is a login shell."""
    return ["ssh", "-F", str(cluster.ssh_config), "-t", "-q", node, *(["--", shlex.join(words)] if words else [])]


def run(cluster: Cluster, node: str, words: Sequence[str], *, timeout: float = 30.0) -> process.Completed:
    """Run ``words`` on a node to the end and return what came of it."""
    return process.run(command(cluster, node, words), timeout=timeout)


def as_root(cluster: Cluster, node: str, words: Sequence[str], *, timeout: float = 30.0) -> process.Completed:
    """The same as root, also where somebody else is let in; ``words`` must not read their stdin."""
    become = root(cluster, node)
    argv = command(cluster, node, [*become.words, *words])
    return process.run(argv, timeout=timeout, stdin=become.first or None)
