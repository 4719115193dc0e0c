"""What the manifests say: the supported part of Kubernetes' objects, checked and with defaults filled in.

Field names and meanings are Kubernetes' own (core/v1 and apps/v1), in Python's spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.address import IPFamily, IPFamilyPolicy

Labels = Mapping[str, str]


class Protocol(StrEnum):
    """``ServicePort.protocol`` and ``ContainerPort.protocol``."""

    TCP = "TCP"
    UDP = "UDP"


class ServiceType(StrEnum):
    """``Service.spec.type``, as far as a node forwarder is concerned."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"


class TrafficPolicy(StrEnum):
    """``externalTrafficPolicy`` and ``internalTrafficPolicy``: all endpoints, or those of the same node alone."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class Operator(StrEnum):
    """``LabelSelectorRequirement.operator``."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an object was written: the file as the user named it, and the line, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """One port a container says it listens on; ``name`` is empty when it has none."""

    port: int
    protocol: Protocol = Protocol.TCP
    name: str = ""


class ProbeKind(StrEnum):
    """The handlers of a ``Probe``."""

    HTTP_GET = "httpGet"
    TCP_SOCKET = "tcpSocket"
    EXEC = "exec"
    GRPC = "grpc"


class RestartPolicy(StrEnum):
    """``PodSpec.restartPolicy``: whether a pod's process that ended is started again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


@dataclass(frozen=True, slots=True)
class Probe:
    """A ``readinessProbe``: ``port`` is a number (names are resolved), 0 for ``exec``.

    ``host`` is the Host header, empty for the pod's own address; ``headers`` are the others, for ``httpGet`` alone.
    """

    kind: ProbeKind
    port: int
    path: str = ""
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Container:
    """One container: its image is recorded and shown, but not run (the built-in responder runs instead)."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    ports: tuple[ContainerPort, ...] = ()


@dataclass(frozen=True, slots=True)
class PodSpec:
    """``PodSpec``: the containers of a Pod, how long it may take to end (seconds), and how it is found to be ready.

    ``readiness`` is the one readinessProbe of all its containers. ``memory_limit`` is what they may take together, in
    bytes, ``None`` for any amount.
    """

    containers: tuple[Container, ...]
    termination_grace_period_seconds: int = 30
    readiness: Probe | None = None
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    memory_limit: int | None = None

    @property
    def ports(self) -> tuple[ContainerPort, ...]:
        """The ports of all containers, in order."""
        return tuple(port for container in self.containers for port in container.ports)


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod written as such, or one pod template's instance before it has a name."""

    namespace: str
    name: str
    labels: Labels
    spec: PodSpec
    source: Source


@dataclass(frozen=True, slots=True)
class Requirement:
    """One ``matchExpressions`` entry."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """``LabelSelector``: all equalities and all expressions must hold."""

    match_labels: Labels = field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()


class StrategyType(StrEnum):
    """``DeploymentStrategy.type``."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


@dataclass(frozen=True, slots=True)
class Strategy:
    """``DeploymentStrategy``: how pods of an old template give way; ``"1"`` or ``"25%"`` of the replicas."""

    type: StrategyType = StrategyType.ROLLING_UPDATE
    max_surge: str = "25%"
    max_unavailable: str = "25%"


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """A Deployment or a ReplicaSet: ``kind`` says which; here both mean *so many pods of this template*.

    ``restarted_at`` is when ``harness rollout restart`` last asked for new pods (kubectl keeps it as an annotation of
    the template); empty when it never did. A pod is available when it was ready for ``min_ready_seconds``.
    """

    kind: str
    namespace: str
    name: str
    replicas: int
    selector: LabelSelector
    template_labels: Labels
    template: PodSpec
    source: Source
    strategy: Strategy = Strategy()
    restarted_at: str = ""
    min_ready_seconds: int = 0


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service; ``node_port`` is ``None`` until one is allocated."""

    port: int
    target_port: int | str
    protocol: Protocol = Protocol.TCP
    name: str = ""
    node_port: int | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A Service; an empty ``selector`` means that it has no endpoints of its own (API rule).

    ``cluster_ip`` is empty until one is allocated, ``None`` (the word) when headless; ``cluster_ip6`` is the IPv6 one.
    ``ip_families`` are those it asks for, the main one first, none when that is left to the cluster.
    ``affinity_seconds`` is 0 unless clients stick to a pod. ``allowed_sources`` (networks) limits who may use its
    nodePorts; empty means everybody. ``other_proxy`` is the label that leaves it to somebody else's proxy,
    ``name=value``, empty without one.
    """

    namespace: str
    name: str
    type: ServiceType
    selector: Labels
    ports: tuple[ServicePort, ...]
    source: Source
    cluster_ip: str = ""
    external_ips: tuple[str, ...] = ()
    affinity_seconds: int = 0
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    internal_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    publish_not_ready_addresses: bool = False
    allowed_sources: tuple[str, ...] = ()
    health_check_node_port: int = 0
    ip_family_policy: IPFamilyPolicy = IPFamilyPolicy.SINGLE_STACK
    ip_families: tuple[IPFamily, ...] = ()
    cluster_ip6: str = ""
    other_proxy: str = ""

    @property
    def headless(self) -> bool:
        """Whether it has no address of its own."""
        return self.cluster_ip == "None"


@dataclass(frozen=True, slots=True)
class SlicePort:
    """One port of an EndpointSlice; ``name`` is that of the Service's port."""

    name: str
    port: int
    protocol: Protocol = Protocol.TCP


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One usable endpoint of an EndpointSlice; ``node`` is empty when it names none."""

    address: str
    node: str = ""
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Endpoints that the user gives to a Service (``service`` is its name) that has no selector."""

    namespace: str
    name: str
    service: str
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[SlicePort, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Ignored:
    """An object that was read but is not acted on, and why."""

    kind: str
    namespace: str
    name: str
    reason: str
    source: Source


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything a set of manifests asks for, in the order of files and documents."""

    pods: tuple[Pod, ...] = ()
    replica_sets: tuple[ReplicaSet, ...] = ()
    services: tuple[Service, ...] = ()
    namespaces: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    endpoint_slices: tuple[EndpointSlice, ...] = ()
