"""How the pods of several nodes meet: one mode for all nodes of a plan. Pure.

``routes``: each node has a route to every other node's pods by way of that node, which works on one network alone
(layer 2). ``vxlan``: nodes wrap what their pods send each other (RFC 7348), which works over any network between them.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.cluster import Node
from harness.model.plan import Plan

MODES = ROUTES, VXLAN = ("routes", "vxlan")

DEVICE = "nodeport-vxlan"
"""The link of mode ``vxlan`` on every node."""


def choose(nodes: Sequence[Node], previous: Plan | None, problems: list[str]) -> str:
    """The mode that the nodes ask for, else the one that they have; ``problems`` gets what is wrong with that."""
    asked = {node.pod_network: node.name for node in reversed(nodes) if node.pod_network}
    problems.extend(
        f"node {name}: there is no pod network {mode!r} (one of {', '.join(MODES)})"
        for mode, name in sorted(asked.items())
        if mode not in MODES
    )
    if len(asked) > 1:
        told = ", ".join(f"{mode} on {name}" for mode, name in sorted(asked.items()))
        problems.append(f"the nodes of one cluster have one pod network, not {told}")
    return next(iter(asked), previous.pod_network if previous else ROUTES)
