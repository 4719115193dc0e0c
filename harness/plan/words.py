"""Lists and numbers of things, as a person says them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.model.workload import ContainerPort
from harness.plan.wanted import WantedPod

SHOWN = 3
"""How many of a longer list are named."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}

Pair = tuple[str, str]
"""A label and its value."""


def some(number: int, noun: str) -> str:
    """``1 pod``, ``6 pods``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(things: Iterable[object], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(thing) for thing in things]
    return f" {last} ".join([part for part in (", ".join(words[:-1]), *words[-1:]) if part])


def first_few(things: Sequence[str]) -> str:
    """At most :data:`SHOWN` things, and how many more there are."""
    more = len(things) - SHOWN
    return ", ".join(things[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def label(pair: Pair) -> str:
    """``app=web``, as ``kubectl`` writes selectors."""
    return "=".join(pair)


def line(pair: Pair) -> str:
    """```app: web```, as it stands in a manifest."""
    name, value = pair
    plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
    return f"`{name}: {value}`" if plain else f'`{name}: "{value}"`'


def titles(pods: Iterable[WantedPod]) -> list[str]:
    """Where these pods are written, each once: ``Deployment web-app``, ``Pod default/solo``."""
    return sorted({pod.title for pod in pods})


def template(pods: Sequence[WantedPod]) -> str:
    """What to edit to change these pods."""
    where = first_few(titles(pods))
    return f"the pods' template ({where})" if any(pod.owner for pod in pods) else where


def declared(ports: Iterable[ContainerPort]) -> str:
    """``80/TCP, 53/UDP (dns)``, sorted and each once."""
    each = sorted({(port.port, port.protocol.value, port.name) for port in ports})
    return ", ".join(f"{number}/{protocol}" + (f" ({name})" if name else "") for number, protocol, name in each)
