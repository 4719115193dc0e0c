"""The pure result of manifests and nodes: pods on nodes, addresses, ports, endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.address import IPFamily
from harness.model.workload import Protocol, RestartPolicy, ServiceType, TrafficPolicy


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A node with its pod range, an IPv4 network such as ``10.244.1.0/24``; its first host is the pods' gateway.

    ``backend`` is the forwarder that it runs, ``nftables`` or ``socat``. An ``unschedulable`` node (``harness cordon``)
    gets no new pods; it answers on nodePorts as any other. ``other_addresses`` are further ones with their networks
    (``10.0.0.5/24``); ``nodeport_addresses`` those of all of them where nodePorts answer, none for ``address`` alone.
    ``address6`` and ``pod_range6`` (``fd00:10:244:1::/64``) are those of IPv6 on a cluster of two families, else empty.
    """

    name: str
    address: str
    pod_range: str
    backend: str = "nftables"
    unschedulable: bool = False
    other_addresses: tuple[str, ...] = ()
    nodeport_addresses: tuple[str, ...] = ()
    address6: str = ""
    pod_range6: str = ""

    @property
    def serving(self) -> tuple[str, ...]:
        """The IPv4 addresses where nodePorts answer."""
        return self.nodeport_addresses or (self.address,)

    @property
    def serving6(self) -> tuple[str, ...]:
        """The IPv6 addresses where nodePorts answer."""
        return (self.address6,) if self.address6 else ()


@dataclass(frozen=True, slots=True)
class Listen:
    """One port that a pod's responder listens on."""

    port: int
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Check:
    """How every node finds out whether a pod is ready: an HTTP GET of ``path`` (empty: a TCP connect) on ``port``.

    The rest is a ``readinessProbe``'s, see :class:`harness.model.workload.Probe`.
    """

    port: int
    path: str = ""
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay_seconds: int = 0
    period_seconds: int = 1
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class PlannedPod:
    """A pod on a node.

    ``uid`` is unique for this pod of this lab and this template, so that a stale pod of the same name is
    recognised as a wrong responder. ``owner`` is ``Deployment/web-app``, or empty for a pod written as such;
    ``revision`` tells templates apart (Kubernetes' *pod-template-hash*). ``check`` is ``None`` when nobody asks the
    pod, which then counts as ready. Others wait to leave until it was ready for ``min_ready_seconds``.
    ``memory_limit`` is in bytes; ``None`` is any amount.
    ``address6`` is its IPv6 address on a cluster of two families, else empty.
    """

    namespace: str
    name: str
    uid: str
    node: str
    address: str
    labels: dict[str, str]
    images: tuple[str, ...]
    listens: tuple[Listen, ...]
    owner: str = ""
    revision: str = ""
    termination_grace_period_seconds: int = 30
    check: Check | None = None
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    min_ready_seconds: int = 0
    memory_limit: int | None = None
    address6: str = ""

    @property
    def key(self) -> str:
        """``namespace/name``: unique within a plan."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one pod serves one Service port; ``pod`` is the pod's key, empty (as ``node``) when it is no pod of ours.

    ``always``: an endpoint whether ready or not (publishNotReadyAddresses); ``terminating``: used only when no other
    endpoint is ready (KEP-1669).
    """

    pod: str
    node: str
    address: str
    port: int
    always: bool = False
    terminating: bool = False


def serving(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Those of them that traffic goes to: all but those that end, or these if there are no others (KEP-1669)."""
    found = tuple(endpoints)
    return tuple(endpoint for endpoint in found if not endpoint.terminating) or found


@dataclass(frozen=True, slots=True)
class PlannedPort:
    """One Service port with its endpoints; ``node_port`` is ``None`` when the Service is not a NodePort."""

    name: str
    protocol: Protocol
    port: int
    target_port: int | str
    node_port: int | None
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class PlannedService:
    """A Service with its ports and endpoints.

    ``explanation`` says for a person why there is no endpoint: which part of the selector matches nothing and
    which pods come close. It is empty when there is nothing to explain. ``cluster_addresses`` are its own, none when
    headless, of the ``ip_families`` in that order; ``affinity_seconds`` is 0 when clients do not stick;
    ``health_check_node_port`` 0 when there is none. ``other_proxy`` is the label that leaves it to
    somebody else's proxy, empty without one.
    """

    namespace: str
    name: str
    type: ServiceType
    selector: dict[str, str]
    ports: tuple[PlannedPort, ...]
    explanation: str = ""
    cluster_addresses: tuple[str, ...] = ()
    external_addresses: tuple[str, ...] = ()
    affinity_seconds: int = 0
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    internal_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    allowed_sources: tuple[str, ...] = ()
    health_check_node_port: int = 0
    other_proxy: str = ""
    ip_families: tuple[IPFamily, ...] = (IPFamily.V4,)

    @property
    def key(self) -> str:
        """``namespace/name``: unique within a plan."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know of the plan: ``subject`` is ``Kind namespace/name``."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the nodes shall do.

    ``generation`` grows by one whenever anything that reaches a node changes, and stays when nothing does.
    ``pod_network`` is how pods of several nodes meet: by ``routes`` to their nodes, or by ``vxlan`` between them.
    """

    lab_uid: str
    generation: int
    nodes: tuple[PlannedNode, ...]
    pods: tuple[PlannedPod, ...]
    services: tuple[PlannedService, ...]
    notes: tuple[Note, ...] = ()
    pod_network: str = "routes"

    @property
    def forwarded(self) -> tuple[PlannedService, ...]:
        """The Services that nodes forward: all but those that are left to somebody else's proxy."""
        return tuple(service for service in self.services if not service.other_proxy)

    @property
    def families(self) -> tuple[IPFamily, ...]:
        """The families of the cluster: two when every node has an IPv6 address."""
        dual = bool(self.nodes) and all(node.address6 for node in self.nodes)
        return (IPFamily.V4, IPFamily.V6) if dual else (IPFamily.V4,)

    @property
    def pods_by_address(self) -> dict[str, PlannedPod]:
        """Every pod at each of its addresses."""
        return {address: pod for pod in self.pods for address in (pod.address, pod.address6) if address}

    def node(self, name: str) -> PlannedNode:
        """The node of that name; ``KeyError`` when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)
