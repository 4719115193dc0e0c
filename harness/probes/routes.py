"""Whether a node's routes lead to the pods as planned. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from harness.model.plan import Plan, PlannedNode
from harness.plan.pod_network import DEVICE, VXLAN

Route = Mapping[str, object]
"""One route as ``ip -json -4 route show`` prints it."""


def missing(plan: Plan, node: str, routes: Sequence[Route]) -> tuple[str, ...]:
    """The planned routes of a node that are not there, or that a more specific one takes traffic from.

    Each begins with the network that is not reached, such as ``10.244.1.0/24 via 192.168.56.12``; what there is in its
    place follows in brackets.
    """
    return tuple(
        text
        for other in plan.nodes
        for text in _wrong(other.pod_range, _way(plan, other, local=node == other.name), routes)
    )


def _way(plan: Plan, node: PlannedNode, *, local: bool) -> tuple[str, str]:
    """The field of a route that tells whether it leads to a node's pods, and what is in it."""
    if local:
        return "dev", "cni0"
    return ("dev", DEVICE) if plan.pod_network == VXLAN else ("gateway", node.address)


def _wrong(pod_range: str, right: tuple[str, str], routes: Sequence[Route]) -> Iterator[str]:
    wanted = ipaddress.IPv4Network(pod_range)
    planned = f"{pod_range} {'via' if right[0] == 'gateway' else 'dev'} {right[1]}"
    into = [route for route in routes if (to := _to(route)) is not None and to.subnet_of(wanted)]
    exact = [route for route in into if _to(route) == wanted]
    if not exact or exact[0].get(right[0]) != right[1]:
        yield planned + (f" (there is: {_told(exact[0])})" if exact else "")
    for route in into:
        if route not in exact and route.get(right[0]) != right[1]:
            yield f"{_to(route)} as part of {planned} (there is: {_told(route)})"


def _to(route: Route) -> ipaddress.IPv4Network | None:
    text = str(route.get("dst", ""))
    return None if text in ("", "default") else ipaddress.IPv4Network(text, strict=False)


def _told(route: Route) -> str:
    """A route as ``ip route`` would print it, as far as it matters."""
    words = [str(route[key]) for key in ("type", "dst") if key in route]
    words += [f"{word} {route[key]}" for key, word in (("gateway", "via"), ("dev", "dev")) if key in route]
    return " ".join(words)
