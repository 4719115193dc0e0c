"""Whether a node's routes lead to the pods as planned. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from harness.model.plan import Plan

Route = Mapping[str, object]
"""One route as ``ip -json -4 route show`` prints it."""


def missing(plan: Plan, node: str, routes: Sequence[Route]) -> tuple[str, ...]:
    """The planned routes of a node that are not there, or that a more specific one takes traffic from.

    Each begins with the network that is not reached, such as ``10.244.1.0/24 via 192.168.56.12``; what there is in its
    place follows in brackets.
    """
    return tuple(
        text for other in plan.nodes for text in _wrong(other.pod_range, other.address, node == other.name, routes)
    )


def _wrong(pod_range: str, address: str, local: bool, routes: Sequence[Route]) -> Iterator[str]:
    wanted = ipaddress.IPv4Network(pod_range)
    right = ("dev", "cni0") if local else ("gateway", address)
    planned = f"{pod_range} {'dev cni0' if local else f'via {address}'}"
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
