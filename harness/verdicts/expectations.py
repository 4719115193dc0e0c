"""What the NodePort contract promises, cell by cell: from a vantage point, to one nodePort of one node.

How deep a cell is looked at follows from the path its packets take through the rules of the node that is asked:

- *outside → node* goes through PREROUTING; *node → itself* through OUTPUT. These are the two places where an
  endpoint is picked, so here shares are judged, which takes hundreds of answers. A forwarder that accepts connections
  itself picks in one place for all of them, so its shares are judged from outside.
- *node → other node* takes the same path as *outside → node*, through the same rules. It is probed because routes
  and firewalls differ from source to source, but only until every pod was seen: a few dozen answers. These are
  the cells whose number grows with the square of the nodes.
- a Service without endpoints must refuse actively, from everywhere.
- with ``sessionAffinity: ClientIP`` everything from one vantage point has to be answered by one and the same pod.
- with ``externalTrafficPolicy: Local`` only pods of the asked node may answer, and a node without one stays silent
  (KEP-1669, upstream's "should only target nodes with endpoints"); a node that asks itself is not external.
- further addresses of a node are asked by itself, and by who has an address in the same network, since other ways
  there are not known: those that serve nodePorts until every pod was seen, the others whether nobody answers there.
- a Service that a label leaves to somebody else's proxy is answered by nobody, as kube-proxy leaves it alone.
- a nodePort with a list of allowed sources stays silent for all others; a node's own traffic is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_network

from harness.model.address import IPFamily, family, with_port
from harness.model.forwarder import FORWARDERS
from harness.model.observation import CLIENTS, OUTSIDE, Ask, Target, pod_of
from harness.model.plan import Endpoint, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService, serving
from harness.model.workload import Protocol, TrafficPolicy
from harness.plan.promises import has


class Depth(StrEnum):
    """How a cell is judged."""

    SPREAD = "spread"
    COVERAGE = "coverage"
    STICKY = "sticky"
    CLIENTS = "clients"
    HEALTH = "health"
    REFUSED = "refused"
    CLOSED = "closed"
    SILENT = "silent"


class Way(StrEnum):
    """What of a Service is asked: a node's nodePort (much at once, too), its own or a given address, its health."""

    NODE_PORT = "nodePort"
    CLUSTER_IP = "ClusterIP"
    EXTERNAL_IP = "externalIP"
    HEALTH = "health check"
    LARGE = "nodePort, large requests"


@dataclass(frozen=True, slots=True)
class Expected:
    """An endpoint that should answer: its pod's key, and how the pod says who it is.

    ``uid`` is empty where answers carry none (UDP): there a stale pod of the same name goes unnoticed. ``itself``
    says that it is the very pod that asks, which cannot see its own address.
    """

    pod: str
    hostname: str
    uid: str
    node: str
    address: str
    port: int
    itself: bool = False


@dataclass(frozen=True, slots=True)
class CellKey:
    """A vantage point and a target: what attempts are sorted by."""

    vantage: str
    target: Target


@dataclass(frozen=True, slots=True)
class Cell:
    """One expectation: ``endpoints`` answer what ``key`` leads to, as ``depth`` says; without any, nobody does.

    ``source`` is the client address that pods have to see, ``hides`` one that they must not see, empty when none is
    promised or known. ``weights`` are those of the endpoints, none when their chances are equal; ``in_turn``: picked
    each in its turn, not by chance. ``ask`` is how a foreign server is asked who it is. ``home`` is the
    node that the vantage point is on, empty outside. ``clients`` are addresses of many clients, unused so far.
    ``at`` is the address asked when it is not the node's own one.
    """

    key: CellKey
    service: str
    port: int
    depth: Depth
    endpoints: tuple[Expected, ...]
    source: str = ""
    hides: str = ""
    weights: tuple[int, ...] = ()
    ask: Ask | None = None
    in_turn: bool = False
    home: str = ""
    way: Way = Way.NODE_PORT
    clients: tuple[str, ...] = ()
    at: str = ""

    @property
    def fair(self) -> tuple[float, ...]:
        """The share that each endpoint should have; they add up to 1."""
        weights = self.weights or (1,) * len(self.endpoints)
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def dealt(self) -> bool:
        """Whether it is looked at that picks come in turn: from outside, one after the other."""
        return self.in_turn and self.vantage == OUTSIDE and self.depth is Depth.SPREAD and len(self.endpoints) > 1

    @property
    def vantage(self) -> str:
        """Where attempts come from: ``outside``, a node's name, or a pod (``pod/default/web-1``)."""
        return self.key.vantage

    @property
    def node(self) -> str:
        """The node whose nodePort is asked, or whose rules lead from a Service's own address to a pod."""
        return self.key.target.node

    @property
    def nodeport(self) -> str:
        """``30008/TCP``, or ``ClusterIP 10.97.1.2:80/TCP``."""
        target = self.key.target
        where = f"{target.port}/{target.protocol}"
        if self.way is Way.LARGE:
            return f"{where} with large requests"
        if self.way is Way.NODE_PORT:
            return where
        return f"{self.way} {with_port(target.address, target.port)}/{target.protocol}"

    @property
    def family(self) -> IPFamily:
        """The family of the address asked."""
        return family(self.key.target.address)

    @property
    def place(self) -> str:
        """What is said beside the node: the address asked when it is not the node's own one; its family if IPv6."""
        return self.at or ("" if self.family is IPFamily.V4 else str(self.family))

    @property
    def plain(self) -> bool:
        """Whether a nodePort is asked from outside or by a node: what the shape of an outage is made of."""
        return self.way is Way.NODE_PORT and not pod_of(self.vantage) and self.vantage != CLIENTS

    @property
    def promise(self) -> tuple[str, int, str, str]:
        """What cells of one Service port and family have in common."""
        return self.service, self.key.target.port, str(self.key.target.protocol), str(self.family)

    def __str__(self) -> str:
        """``outside → n1, default/web-service 80 on 30008/TCP``; ``n1 (10.0.0.5)`` elsewhere, ``n1 (IPv6)``."""
        where = f"{self.node} ({self.place})" if self.place else self.node
        return f"{self.vantage} → {where}, {self.service} {self.port} on {self.nodeport}"


@dataclass(frozen=True, slots=True)
class Approach:
    """From a vantage point, whose address on that way may be unknown (empty), to one address of a node."""

    vantage: str
    source: str
    address: str


def expectations(plan: Plan, vantages: Sequence[str], addresses: Mapping[str, str] | None = None) -> tuple[Cell, ...]:
    """All cells of a plan: every nodePort, of every node, from every vantage point, in the plan's order.

    ``vantages`` are ``OUTSIDE`` and names of nodes; ``addresses`` says what their packets' source address is, where
    that is known beside the nodes' own. Left out are cells of which nothing can be said: Services that are not of
    type NodePort, endpoints that are no pod of this plan (who answers is not known), a nodePort with a list of
    allowed sources, asked from an address that is not known, and what the forwarder of the node does not promise.
    """
    pods = {pod.address: pod for pod in plan.pods}
    known = {node.name: node.address for node in plan.nodes} | dict(addresses or {})
    homes = {node.name: node for node in plan.nodes}
    cells: list[Cell] = []
    for service, port in _node_ports(plan):
        if any(endpoint.address not in pods for endpoint in port.endpoints):
            continue
        for node in plan.nodes:
            for vantage in vantages:
                if service.allowed_sources and vantage not in known and not service.other_proxy:
                    continue
                ways = [Approach(vantage, known.get(vantage, ""), node.address)]
                if node.other_addresses:
                    ways += further_ways(node, vantage, homes.get(vantage), known.get(vantage, ""))
                found = [_cell(service, port, node, way, pods) for way in ways]
                cells += [cell for cell in found if _promised(cell, service, node)]
    return tuple(cells)


def further_ways(node: PlannedNode, vantage: str, home: PlannedNode | None, source: str) -> Iterator[Approach]:
    """The ways from a vantage point (``home``, when it is a node) to a node's addresses beside its own one."""
    asking = home.other_addresses if home is not None else ()
    taken = {source, *(str(IPv4Interface(each).ip) for each in asking)}
    for each in node.other_addresses:
        target = IPv4Interface(each)
        if vantage == node.name:
            yield Approach(vantage, str(target.ip), str(target.ip))
        elif str(target.ip) not in taken:  # else it is the asker's own, such as that of every node's docker0
            near = [text for text in sorted(taken - {""}) if IPv4Address(text) in target.network]
            yield from (Approach(vantage, text, str(target.ip)) for text in near[:1])


def _cell(
    service: PlannedService, port: PlannedPort, node: PlannedNode, way: Approach, pods: Mapping[str, PlannedPod]
) -> Cell:
    vantage, source = way.vantage, way.source
    further = "" if way.address == node.address else way.address
    target = Target(node.name, way.address, port.node_port or 0, port.protocol)
    home = "" if vantage == OUTSIDE else vantage
    if service.other_proxy or way.address not in node.serving:
        return Cell(CellKey(vantage, target), service.key, port.port, Depth.CLOSED, (), home=home, at=further)
    external = vantage != node.name
    local = external and service.external_traffic_policy is TrafficPolicy.LOCAL
    served = serving(endpoint for endpoint in port.endpoints if not local or endpoint.node == node.name)
    if external and service.allowed_sources and not allowed(source, service.allowed_sources):
        depth, served = Depth.SILENT, ()
    elif not port.endpoints:
        depth = Depth.REFUSED
    elif not served:
        depth = Depth.SILENT
    elif service.affinity_seconds:
        depth = Depth.STICKY
    else:
        depth = Depth.SPREAD if _is_dealt(vantage, node) and way.address == node.serving[0] else Depth.COVERAGE
    endpoints = tuple(expected(endpoint, pods[endpoint.address], port.protocol) for endpoint in served)
    kept = source if local and served and has(node, "client-address") else ""
    return Cell(CellKey(vantage, target), service.key, port.port, depth, endpoints, kept, home=home, at=further)


def _is_dealt(vantage: str, node: PlannedNode) -> bool:
    """Whether endpoints are picked in another place for this vantage point than for all others."""
    return vantage == OUTSIDE or (vantage == node.name and not FORWARDERS[node.backend].accepts)


def _promised(cell: Cell, service: PlannedService, node: PlannedNode) -> bool:
    if cell.key.target.protocol is Protocol.UDP and not has(node, "udp"):
        return False
    if cell.depth is Depth.STICKY:
        return has(node, "affinity")
    silent = "allowed-sources" if service.allowed_sources else "client-address"
    return cell.depth is not Depth.SILENT or has(node, silent)


def allowed(source: str, networks: Sequence[str]) -> bool:
    """Whether an address lies in one of the networks."""
    return any(ip_address(source) in ip_network(network) for network in networks)


def _node_ports(plan: Plan) -> list[tuple[PlannedService, PlannedPort]]:
    return [(service, port) for service in plan.services for port in service.ports if port.node_port is not None]


def expected(endpoint: Endpoint, pod: PlannedPod, protocol: Protocol) -> Expected:
    """How that pod says who it is."""
    told = pod.uid if protocol is Protocol.TCP else ""
    return Expected(pod.key, pod.name, told, pod.node, endpoint.address, endpoint.port)
