"""What the NodePort contract promises, cell by cell: from a vantage point, to one nodePort of one node.

How deep a cell is looked at follows from the path its packets take through the rules of the node that is asked:

- *outside → node* goes through PREROUTING; *node → itself* through OUTPUT. These are the two places where an
  endpoint is picked, so here shares are judged, which takes hundreds of answers.
- *node → other node* takes the same path as *outside → node*, through the same rules. It is probed because routes
  and firewalls differ from source to source, but only until every pod was seen: a few dozen answers. These are
  the cells whose number grows with the square of the nodes.
- a Service without endpoints must refuse actively, from everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.model.observation import OUTSIDE, Target
from harness.model.plan import Endpoint, Plan, PlannedPort, PlannedService
from harness.model.workload import Protocol


class Depth(StrEnum):
    """How a cell is judged."""

    SPREAD = "spread"
    COVERAGE = "coverage"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Expected:
    """An endpoint that should answer: its pod's key, and how the pod says who it is.

    ``uid`` is empty where answers carry none (UDP): there a stale pod of the same name goes unnoticed.
    """

    pod: str
    hostname: str
    uid: str
    node: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class CellKey:
    """A vantage point and a target: what attempts are sorted by."""

    vantage: str
    target: Target


@dataclass(frozen=True, slots=True)
class Cell:
    """One expectation: ``endpoints`` have equal shares of what ``key`` leads to; without any, it is refused."""

    key: CellKey
    service: str
    port: int
    depth: Depth
    endpoints: tuple[Expected, ...]

    @property
    def vantage(self) -> str:
        """Where attempts come from: ``outside`` or a node's name."""
        return self.key.vantage

    @property
    def node(self) -> str:
        """The node whose nodePort is asked."""
        return self.key.target.node

    @property
    def nodeport(self) -> str:
        """``30008/TCP``."""
        return f"{self.key.target.port}/{self.key.target.protocol}"

    @property
    def promise(self) -> tuple[str, int, str]:
        """What cells of one Service port have in common."""
        return self.service, self.key.target.port, str(self.key.target.protocol)

    def __str__(self) -> str:
        """``outside → n1, default/web-service 80 on 30008/TCP``."""
        return f"{self.vantage} → {self.node}, {self.service} {self.port} on {self.nodeport}"


def expectations(plan: Plan, vantages: Sequence[str]) -> tuple[Cell, ...]:
    """All cells of a plan: every nodePort, of every node, from every vantage point, in the plan's order.

    ``vantages`` are ``OUTSIDE`` and names of nodes. Services that are not of type NodePort promise nothing here.
    """
    pods = {pod.key: pod for pod in plan.pods}
    cells: list[Cell] = []
    for service, port in _node_ports(plan):
        endpoints = tuple(
            _expected(endpoint, pods[endpoint.pod].name, pods[endpoint.pod].uid, port.protocol)
            for endpoint in port.endpoints
        )
        for node in plan.nodes:
            target = Target(node.name, node.address, port.node_port or 0, port.protocol)
            cells += [
                Cell(CellKey(vantage, target), service.key, port.port, _depth(vantage, node.name, endpoints), endpoints)
                for vantage in vantages
            ]
    return tuple(cells)


def _node_ports(plan: Plan) -> list[tuple[PlannedService, PlannedPort]]:
    return [(service, port) for service in plan.services for port in service.ports if port.node_port is not None]


def _expected(endpoint: Endpoint, hostname: str, uid: str, protocol: Protocol) -> Expected:
    told = uid if protocol is Protocol.TCP else ""
    return Expected(endpoint.pod, hostname, told, endpoint.node, endpoint.address, endpoint.port)


def _depth(vantage: str, node: str, endpoints: tuple[Expected, ...]) -> Depth:
    if not endpoints:
        return Depth.REFUSED
    return Depth.SPREAD if vantage in (OUTSIDE, node) else Depth.COVERAGE
