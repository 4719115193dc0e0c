"""Small workloads, as the manifests room would give them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.cluster import Node
from harness.model.plan import Plan, PlannedPod
from harness.model.workload import (
    Container,
    ContainerPort,
    LabelSelector,
    Pod,
    PodSpec,
    Protocol,
    ReplicaSet,
    Service,
    ServicePort,
    ServiceType,
    Source,
)

LAB = "lab-a"
SOURCE = Source("test.yaml", 1)


def nodes(number: int) -> list[Node]:
    return [Node(f"n{i + 1}", f"192.168.{56 + i // 200}.{11 + i % 200}") for i in range(number)]


def spec(*ports: int, image: str = "nginx") -> PodSpec:
    return PodSpec((Container("web", image, ports=tuple(ContainerPort(port) for port in ports)),))


def named_spec(name: str, port: int, protocol: Protocol = Protocol.TCP) -> PodSpec:
    return PodSpec((Container("web", "nginx", ports=(ContainerPort(port, protocol, name),)),))


def deployment(
    name: str,
    replicas: int,
    *,
    labels: Mapping[str, str] | None = None,
    template: PodSpec | None = None,
    namespace: str = "default",
    kind: str = "Deployment",
) -> ReplicaSet:
    labels = {"app": name} if labels is None else labels
    template = template or spec(80)
    return ReplicaSet(kind, namespace, name, replicas, LabelSelector(labels), labels, template, SOURCE)


def pod(
    name: str, labels: Mapping[str, str] | None = None, template: PodSpec | None = None, namespace: str = "default"
) -> Pod:
    return Pod(namespace, name, labels or {}, template or spec(80), SOURCE)


def service(
    name: str,
    *ports: ServicePort,
    selector: Mapping[str, str] | None = None,
    kind: ServiceType = ServiceType.NODE_PORT,
    namespace: str = "default",
) -> Service:
    selector = {"app": name} if selector is None else selector
    return Service(namespace, name, kind, selector, ports or (ServicePort(80, 80),), SOURCE)


def owned(plan: Plan, name: str) -> list[PlannedPod]:
    """The pods of the Deployment of that name."""
    return [each for each in plan.pods if each.owner == f"Deployment/{name}"]


def node_ports(plan: Plan) -> dict[str, list[int | None]]:
    """The nodePorts of every Service by its key."""
    return {each.key: [port.node_port for port in each.ports] for each in plan.services}


def on_nodes(plan: Plan, name: str) -> list[int]:
    """How many pods of a Deployment each node has, in the order of nodes."""
    return [sum(each.node == node.name for each in owned(plan, name)) for node in plan.nodes]
