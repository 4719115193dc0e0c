"""Whether a node has booted anew: asked of the node, never assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from harness.drivers import Console
from harness.errors import DriverError, RigError
from harness.model.cluster import Cluster, Node
from harness.support import clock, process

_LOOK = "cat /proc/sys/kernel/random/boot_id && cut -d ' ' -f 22 /proc/1/stat"
"""What changes with a boot: a machine's boot (random(4)), and when a container's first process began
(proc_pid_stat(5), field 22), which has its host's boot id."""
_LOOK_SECONDS = 30.0

Look = Callable[[Node], Console]
"""What a node says on its console now."""


def identities(cluster: Cluster, nodes: Sequence[Node]) -> dict[str, str]:
    """What tells the present boot of each node from any other; empty for a node that does not answer."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip([node.name for node in nodes], pool.map(lambda node: _look(cluster, node), nodes), strict=True))


def until_anew(cluster: Cluster, before: Mapping[str, str], within: float, look: Look | None = None) -> None:
    """Wait until every node of ``before``, as :func:`identities` gave it, answers from another boot.

    Connections that ssh keeps open to what ran before are ended then. With ``look`` at consoles, nodes of which is
    certain that they do not boot are waited for no longer.

    Raises :class:`DriverError` that names the nodes that do not, after ``within`` seconds, and shows their consoles.
    """
    left = [node for node in cluster.nodes if node.name in before]

    def booted() -> None:
        now = identities(cluster, left)
        left[:] = [node for node in left if now[node.name] in ("", before[node.name])]
        ends = [end for node in left if look and not now[node.name] and (end := look(node).end)]
        if left and len(ends) == len(left):
            raise DriverError(
                "; ".join(f"{node.name} does not boot: {end}" for node, end in zip(left, ends, strict=True))
            )
        if left:
            raise clock.NotYet("; ".join(f"{node.name}: {_why(now[node.name])}" for node in left))

    try:
        clock.until(booted, what="the nodes to boot anew", within=within, every=0.25, failure=DriverError)
    except DriverError as error:
        consoles = [look(node).told(node.name) for node in left if look]
        raise DriverError("\n".join((error.message, *consoles))) from None
    for name in before:
        process.run(["ssh", "-F", cluster.ssh_config, "-O", "exit", name], timeout=10)


def _why(identity: str) -> str:
    return "it has not gone down" if identity else "no answer to SSH"


def _look(cluster: Cluster, node: Node) -> str:
    """By a connection of its own: one that is kept open may lead to a machine long gone.

    A connection that a boot cuts off, or that takes long, is no answer; the next one may be.
    """
    options = ("-o", "BatchMode=yes", "-o", "ControlPath=none", "-o", "ConnectTimeout=3")
    try:
        done = process.run(["ssh", "-F", cluster.ssh_config, *options, node.name, _LOOK], timeout=_LOOK_SECONDS)
    except RigError:
        return ""
    return done.out.strip() if done.ok else ""
