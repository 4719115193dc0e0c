"""Which forwarder each node runs.

The first that holds, for each node: the command line, the inventory (``nodeport_forwarder`` of the host),
``harness.toml``; else the node keeps what it has, and begins with nftables. Words are ``socat`` for all nodes, or
``n2=socat`` for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.errors import UsageError
from harness.model.cluster import Node
from harness.model.forwarder import FORWARDERS


def choose(nodes: Sequence[Node], line: Sequence[str], settled: Sequence[str]) -> tuple[Node, ...]:
    """The nodes, each with the forwarder asked for; ``line`` and ``settled`` are words of command line and settings.

    Raises :class:`UsageError` for a forwarder or a node that does not exist.
    """
    names = [node.name for node in nodes]
    first, last = _read(line, "--forwarder", names), _read(settled, "forwarder in harness.toml", names)
    for node in nodes:
        if node.forwarder and node.forwarder not in FORWARDERS:
            raise _unknown(node.forwarder, f"nodeport_forwarder of {node.name}")
    return tuple(replace(node, forwarder=_of(first, node) or node.forwarder or _of(last, node)) for node in nodes)


def _of(chosen: Mapping[str, str], node: Node) -> str:
    return chosen.get(node.name) or chosen.get("") or ""


def _read(words: Sequence[str], where: str, names: Sequence[str]) -> dict[str, str]:
    """Forwarder by node; the one for all nodes by the empty name."""
    found = {}
    for word in words:
        node, _, name = word.rpartition("=")
        if name not in FORWARDERS:
            raise _unknown(name, where)
        if node and node not in names:
            raise UsageError(f"{where}: there is no node {node}", hint=f"nodes: {', '.join(names)}")
        found[node] = name
    return found


def _unknown(name: str, where: str) -> UsageError:
    return UsageError(f"{where}: there is no forwarder {name!r}", hint=f"one of {', '.join(FORWARDERS)}")
