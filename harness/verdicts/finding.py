"""What a rule of diagnosis found: a cause, and the symptoms that it explains."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from harness.model.address import IPFamily
from harness.model.observation import NodeFacts
from harness.verdicts.expectations import Expected
from harness.verdicts.shape import Shape, Symptom


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause (a key of ``causes.CAUSES``) about a node, a pod or both; ``other`` fills that place in its words.

    ``directs`` says what control probes showed, in words.
    """

    cause: str
    node: str
    symptoms: tuple[Symptom, ...]
    endpoint: Expected | None = None
    other: str = ""
    directs: tuple[str, ...] = field(default=())

    @property
    def family(self) -> IPFamily:
        """The family of the addresses that it was found at."""
        return self.symptoms[0].view.cell.family if self.symptoms else IPFamily.V4

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Findings with the same key, of several Service ports, are one diagnosis."""
        return self.cause, self.node, self.endpoint.pod if self.endpoint else "", self.other


def drops(facts: NodeFacts | None, words: tuple[str, ...] = ()) -> str:
    """Rules of others on a node that drop, quoted, as the end of a sentence; those with one of the words, if any."""
    if facts is None:
        return ""
    fitting = [rule for rule in facts.foreign_drops if not words or any(word in rule.lower() for word in words)]
    return f" ({facts.node} has: {'; '.join(fitting)})" if fitting else ""


def lacks_route(facts: NodeFacts | None, endpoint: Expected) -> str:
    """The node's missing route that would lead to an endpoint, or nothing; one of a single pod does not count."""
    for route in facts.missing_routes if facts is not None else ():
        first = route.split()[0] if route.split() else ""
        try:
            network = ipaddress.ip_network(first, strict=False)
        except ValueError:
            continue
        if network.num_addresses > 1 and ipaddress.ip_address(endpoint.address) in network:
            return route
    return ""


def told(shape: Shape, vantage: str, endpoint: Expected) -> str:
    """What came of asking an endpoint directly, in words."""
    return f"{endpoint.pod} asked directly from {vantage} {shape.direct(vantage, endpoint)}"
