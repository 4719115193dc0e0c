"""What is promised inside the cluster: to pods, and at a Service's own addresses, from pods and nodes. Pure.

A pod asks its own node's nodePort, another node's, and the Service's own addresses. Every pod of the Service has to
answer: one on the same node, one elsewhere and, where the Service's own pod asks, that pod itself (*hairpin*). A node
asks the ClusterIP. The rules are kube-proxy's:

- a pod is not an external client, so ``externalTrafficPolicy: Local`` does not shut it out: all pods answer;
- with ``internalTrafficPolicy: Local`` only pods of the node that asks answer at the ClusterIP; without one, silence;
- a pod's address is kept on the way to every other pod, of its own node or of another, by the ClusterIP and, under
  ``Local``, by its own node's nodePort and by externalIPs. It is hidden from itself: no answer would leave it;
- an allow list holds for pods as for everybody.

These cells would grow with the number of pods times the number of nodes, so they are a sample: few pods, at most one
a node and one a Service while there is room, and few cells of those (``Bounds``). The seed turns the wheel, so that
other runs look elsewhere, and the same seed looks at the same cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TypeVar

from harness.model.observation import Target, pod_vantage
from harness.model.plan import Endpoint, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService, serving
from harness.model.workload import Protocol, TrafficPolicy
from harness.plan.promises import has
from harness.verdicts.expectations import Cell, CellKey, Depth, Expected, Way, allowed, expected

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most pods that ask, and the most cells inside."""

    pods: int
    cells: int


USUAL = Bounds(6, 60)
"""Without ``--focus``."""

WIDE = Bounds(24, 1200)
"""With it: what was named is looked at whole, but for the largest clusters."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """A pod or a node that asks."""

    vantage: str
    node: str
    address: str
    is_pod: bool


def inside(plan: Plan, seed: int = 0, wants: Callable[[Cell], bool] | None = None) -> tuple[Cell, ...]:
    """The cells inside that are looked at, in the plan's order: a small sample, or a large one of what is wanted."""
    bounds = USUAL if wants is None else WIDE
    ours = {pod.address: pod for pod in plan.pods}
    asked = [
        (service, port)
        for service in plan.forwarded
        for port in service.ports
        if all(endpoint.address in ours for endpoint in port.endpoints)
    ]
    found: list[list[Cell]] = []
    for pod in vantage_pods(plan, seed):
        if len(found) < bounds.pods:
            cells = _of_asker(plan, asked, _of_pod(pod), ours, wants)
            found += [cells] if cells else []
    found += [_of_asker(plan, asked, _of_node(node), ours, wants) for node in plan.nodes]
    places = {(service.key, port.port, str(port.protocol)): number for number, (service, port) in enumerate(asked)}
    in_order = sorted((cell for cells in found for cell in cells), key=lambda cell: places[_port_of(cell)])
    return _sample(in_order, bounds.cells, seed)


def _of_asker(
    plan: Plan,
    asked: Sequence[tuple[PlannedService, PlannedPort]],
    asker: _Asker,
    ours: dict[str, PlannedPod],
    wants: Callable[[Cell], bool] | None,
) -> list[Cell]:
    nodes = {node.name: node for node in plan.nodes}
    cells = [
        cell if has(nodes[cell.node], "client-address") else replace(cell, source="")
        for service, port in asked
        for cell in _cells(plan, service, port, asker, ours)
        if all(has(nodes[cell.node], feature) for feature in _needs(service, cell))
    ]
    return cells if wants is None else [cell for cell in cells if wants(cell)]


def _needs(service: PlannedService, cell: Cell) -> Iterator[str]:
    """The features without which the forwarder of the cell's node promises nothing of it."""
    if cell.way is Way.EXTERNAL_IP:
        yield "external-addresses"
    if cell.way is Way.CLUSTER_IP:
        yield "cluster-addresses"
        if service.internal_traffic_policy is TrafficPolicy.LOCAL:
            yield "internal-policy"
    if cell.key.target.protocol is Protocol.UDP:
        yield "udp"
    if cell.depth is Depth.STICKY:
        yield "affinity"
    if cell.depth is Depth.SILENT and cell.way is Way.NODE_PORT:
        yield "allowed-sources"


def count(plan: Plan) -> int:
    """How many cells inside there are in all."""
    pods, nodes = len(plan.pods), len(plan.nodes)
    return sum(
        pods * (min(2, nodes) if port.node_port is not None else 0)
        + (pods + nodes) * len(service.cluster_addresses)
        + pods * len(service.external_addresses)
        for service in plan.forwarded
        for port in service.ports
    )


def _port_of(cell: Cell) -> tuple[str, int, str]:
    return cell.service, cell.port, str(cell.key.target.protocol)


def vantage_pods(plan: Plan, seed: int = 0) -> tuple[PlannedPod, ...]:
    """Pods in the order in which they ask: of each node one that serves; then one of each Service; then the others."""
    ends = [endpoint.pod for service in plan.services for port in service.ports for endpoint in port.endpoints]
    ranks = {pod: number for number, pod in enumerate(dict.fromkeys(ends))}
    ordered = sorted(plan.pods, key=lambda pod: ranks.get(pod.key, len(ranks)))
    by_node = []
    for node in _turned(plan.nodes, seed):
        here = [pod for pod in ordered if pod.node == node.name]
        serves = [pod for pod in here if pod.key in ranks]
        by_node.append([*_turned(serves, seed), *here[len(serves) :]])
    by_key = {pod.key: pod for pod in ordered}
    by_service = [
        next((by_key[each.pod] for port in service.ports for each in port.endpoints if each.pod in by_key), None)
        for service in plan.services
    ]
    layers = list(zip_longest(*by_node))
    wanted = [*(layers[0] if layers else ()), *by_service, *(pod for layer in layers[1:] for pod in layer)]
    return tuple({pod.key: pod for pod in wanted if pod is not None}.values())


def _turned(values: Sequence[Value], seed: int) -> list[Value]:
    start = seed % len(values) if values else 0
    return [*values[start:], *values[:start]]


def _sample(cells: Sequence[Cell], most: int, seed: int) -> tuple[Cell, ...]:
    """So many, evenly over all, which ones the seed decides."""
    if len(cells) <= most:
        return tuple(cells)
    start = seed % len(cells)
    return tuple(cells[i] for i in sorted((start + number * len(cells) // most) % len(cells) for number in range(most)))


def _of_pod(pod: PlannedPod) -> _Asker:
    return _Asker(pod_vantage(pod.key), pod.node, pod.address, is_pod=True)


def _of_node(node: PlannedNode) -> _Asker:
    return _Asker(node.name, node.name, node.address, is_pod=False)


def _cells(
    plan: Plan, service: PlannedService, port: PlannedPort, asker: _Asker, ours: dict[str, PlannedPod]
) -> Iterator[Cell]:
    """What one asker asks of one Service port."""
    if asker.is_pod and port.node_port is not None:
        own = next(number for number, node in enumerate(plan.nodes) if node.name == asker.node)
        nearest = {node.name: node for node in (plan.nodes[own], plan.nodes[(own + 1) % len(plan.nodes)])}
        for node in (each for each in nearest.values() if each.address in each.serving):
            target = Target(node.name, node.address, port.node_port, port.protocol)
            yield _cell(service, port, asker, target, Way.NODE_PORT, ours)
    yield from _own(service, port, asker, ours)


def _own(service: PlannedService, port: PlannedPort, asker: _Asker, ours: dict[str, PlannedPod]) -> Iterator[Cell]:
    """The Service's own addresses, and those that users gave it, on the asker's own node."""
    external = service.external_addresses if asker.is_pod else ()  # of nodes nobody has promised a route to them
    for way, addresses in ((Way.CLUSTER_IP, service.cluster_addresses), (Way.EXTERNAL_IP, external)):
        for address in addresses:
            yield _cell(service, port, asker, Target(asker.node, address, port.port, port.protocol), way, ours)


def _cell(
    service: PlannedService,
    port: PlannedPort,
    asker: _Asker,
    target: Target,
    way: Way,
    ours: dict[str, PlannedPod],
) -> Cell:
    only_here = way is Way.CLUSTER_IP and service.internal_traffic_policy is TrafficPolicy.LOCAL
    served = serving(each for each in port.endpoints if not only_here or each.node == asker.node)
    shut_out = way is Way.NODE_PORT and bool(service.allowed_sources)
    if shut_out and not allowed(asker.address, service.allowed_sources):
        depth, served = Depth.SILENT, ()
    elif not port.endpoints:
        depth = Depth.REFUSED
    elif not served:
        depth = Depth.SILENT
    else:
        depth = Depth.STICKY if service.affinity_seconds else Depth.COVERAGE
    endpoints = tuple(_expected(each, asker, ours[each.address], port) for each in served)
    source = asker.address if _kept(service, asker, target, way, served) else ""
    key = CellKey(asker.vantage, target)
    return Cell(key, service.key, port.port, depth, endpoints, source, home=asker.node, way=way)


def _expected(endpoint: Endpoint, asker: _Asker, pod: PlannedPod, port: PlannedPort) -> Expected:
    return replace(expected(endpoint, pod, port.protocol), itself=pod.address == asker.address)


def _kept(
    service: PlannedService,
    asker: _Asker,
    target: Target,
    way: Way,
    served: Sequence[Endpoint],
) -> bool:
    """Whether some pod has to see the asker's own address."""
    itself = [each.address == asker.address for each in served]
    if not asker.is_pod or all(itself) or (service.affinity_seconds and any(itself)):  # it may stick to itself
        return False
    local = service.external_traffic_policy is TrafficPolicy.LOCAL and target.node == asker.node
    return way is Way.CLUSTER_IP or local
