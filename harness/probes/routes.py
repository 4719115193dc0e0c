"""Whether a node's routes lead to the pods as planned. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from harness.model.plan import Plan
from harness.plan.pod_network import DEVICE, VXLAN

Route = Mapping[str, object]
"""One route as ``ip -json route show`` prints it."""


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def missing(plan: Plan, node: str, routes: Sequence[Route]) -> tuple[str, ...]:
    """The planned routes of a node that are not there, or that a more specific one takes traffic from.

    Each begins with the network that is not reached, such as ``10.244.1.0/24 via 192.168.56.12``; what there is in its
    place follows in brackets.
    """
    return tuple(
        text
        for other in plan.nodes
        for text in _wrong(other.pod_range, _way(plan, other.address, local=node == other.name), routes)
    )


def missing6(plan: Plan, node: str, routes: Sequence[Route]) -> tuple[str, ...]:
    """The same of IPv6."""
    return tuple(
        text
        for other in plan.nodes
        for text in _wrong(other.pod_range6, _way(plan, other.address6, local=node == other.name), routes)
    )


def _way(plan: Plan, address: str, *, local: bool) -> tuple[str, str]:
    """The field of a route that tells whether it leads to a node's pods, and what is in it."""
    if local:
        return "dev", "cni0"
    return ("dev", DEVICE) if plan.pod_network == VXLAN else ("gateway", address)


def _wrong(pod_range: str, right: tuple[str, str], routes: Sequence[Route]) -> Iterator[str]:
    wanted = ipaddress.ip_network(pod_range)
    planned = f"{pod_range} {'via' if right[0] == 'gateway' else 'dev'} {right[1]}"
    into = [route for route in routes if (to := _to(route)) is not None and _within(to, wanted)]
    exact = [route for route in into if _to(route) == wanted]
    if not exact or exact[0].get(right[0]) != right[1]:
        yield planned + (f" (there is: {_told(exact[0])})" if exact else "")
    for route in into:
        if route not in exact and route.get(right[0]) != right[1]:
            yield f"{_to(route)} as part of {planned} (there is: {_told(route)})"


def _within(one: Network, other: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and one.subnet_of(other)


def _to(route: Route) -> Network | None:
    text = str(route.get("dst", ""))
    return None if text in ("", "default") else ipaddress.ip_network(text, strict=False)


def _told(route: Route) -> str:
    """A route as ``ip route`` would print it, as far as it matters."""
    words = [str(route[key]) for key in ("type", "dst") if key in route]
    words += [f"{word} {route[key]}" for key, word in (("gateway", "via"), ("dev", "dev")) if key in route]
    return " ".join(words)
