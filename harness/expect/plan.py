"""An expectation in the form that reports read: a plan that nobody carried out."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.cluster import Node
from harness.model.expectation import Expectation, PromisedPort, PromisedService
from harness.model.plan import Endpoint, Plan, PlannedNode, PlannedPod, PlannedPort, PlannedService
from harness.model.workload import ServiceType, TrafficPolicy


def as_plan(expectation: Expectation, nodes: Sequence[Node]) -> Plan:
    """The Services with their endpoints as pods, on the nodes that they name (else their address stands there)."""
    pods: dict[str, PlannedPod] = {}
    for service in expectation.services:
        for port in service.ports:
            for end in port.endpoints:
                where = end.node or end.address or "?"
                pod = PlannedPod(service.namespace, end.name, "", where, end.address, {}, (), ())
                pods.setdefault(pod.key, pod)
    return Plan(
        lab_uid="", generation=0, nodes=tuple(PlannedNode(node.name, node.address, "", "") for node in nodes),
        pods=tuple(pods.values()), services=tuple(_service(service) for service in expectation.services),
    )  # fmt: skip


def _service(service: PromisedService) -> PlannedService:
    local = TrafficPolicy.LOCAL if service.local else TrafficPolicy.CLUSTER
    ports = tuple(_port(service, port) for port in service.ports)
    return PlannedService(
        service.namespace, service.name, ServiceType.NODE_PORT, {}, ports, external_traffic_policy=local
    )


def _port(service: PromisedService, port: PromisedPort) -> PlannedPort:
    called = {end.name: end for end in reversed(port.endpoints)}  # one of two families stands there once
    ends = tuple(
        Endpoint(f"{service.namespace}/{end.name}", end.node, end.address, end.port)
        for end in port.endpoints
        if called[end.name] is end
    )
    return PlannedPort(port.name, port.protocol, port.port, port.port, port.node_port, ends)
