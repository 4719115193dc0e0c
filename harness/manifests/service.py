"""Services: the API's rules for one Service (core validation), and what of it is not supported yet."""

from __future__ import annotations

from harness.manifests import names, service_addresses
from harness.manifests.faults import quoted
from harness.manifests.hints import one_of
from harness.manifests.meta import Meta
from harness.manifests.reader import Reader
from harness.manifests.service_ports import NODE_PORTS, read_ports
from harness.model.workload import Ignored, Service, ServiceType, TrafficPolicy

ALLOWED_SOURCES = "nodeport.harness/allowed-sources"
"""Annotation: IP networks, separated by commas, that may use the nodePorts."""

HEALTH_CHECK = "nodeport.harness/health-check-node-port"
"""Annotation: where nodes tell whether they have an endpoint; ``healthCheckNodePort`` belongs to LoadBalancers."""

OTHER_PROXY = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")
"""Labels: kube-proxy leaves a Service that has one of them alone, whatever its value (well-known labels)."""

AFFINITY_SECONDS = 10800
"""The API's default of ``timeoutSeconds``: three hours."""

_YET = "is not supported yet"
_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_POLICIES = ("Cluster", "Local")
_LOAD_BALANCERS = ("allocateLoadBalancerNodePorts", "healthCheckNodePort", "loadBalancerClass", "loadBalancerIP",
                   "loadBalancerSourceRanges")  # fmt: skip
_NO_LOAD_BALANCER = {"healthCheckNodePort": f"write the annotation {HEALTH_CHECK}",
                     "loadBalancerSourceRanges": f"write the annotation {ALLOWED_SOURCES}"}  # fmt: skip


def read_service(top: Reader, meta: Meta) -> Service | Ignored:
    """A Service; one of type ExternalName is nothing that nodes forward."""
    top.require("spec")
    spec = top.mapping("spec")
    kind = _type(spec)
    _not_yet(spec, kind)
    if kind == "ExternalName":
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if _says_something(spec, name):
                spec.fault(name, "may not be used when type is ExternalName", "remove it")
        spec.require("externalName", "the name that DNS answers with, such as db.example.org")
        spec.text("externalName", names.subdomain)
        why = "ExternalName is an answer of DNS; there is nothing to forward"
        return Ignored("Service", meta.namespace, meta.name, why, meta.source)
    own = service_addresses.own(spec, kind)
    external = service_addresses.external_ips(spec)
    policy = _external_policy(spec, kind, bool(external))
    annotations = top.mapping("metadata").mapping("annotations")
    return Service(
        namespace=meta.namespace,
        name=meta.name,
        type=ServiceType.CLUSTER_IP if kind == "ClusterIP" else ServiceType.NODE_PORT,
        selector=spec.string_map("selector", names.label_pair),
        ports=read_ports(spec, kind),
        source=meta.source,
        cluster_ip=own.cluster_ip,
        external_ips=external,
        affinity_seconds=_affinity(spec, own.cluster_ip),
        external_traffic_policy=policy,
        internal_traffic_policy=TrafficPolicy(spec.choice("internalTrafficPolicy", _POLICIES, "Cluster")),
        publish_not_ready_addresses=spec.true("publishNotReadyAddresses"),
        allowed_sources=service_addresses.networks(annotations, ALLOWED_SOURCES, kind),
        health_check_node_port=_health_check(annotations, kind, policy),
        other_proxy=next((f"{name}={meta.labels[name]}" for name in OTHER_PROXY if name in meta.labels), ""),
        ip_family_policy=own.policy,
        ip_families=own.families,
        cluster_ip6=own.cluster_ip6,
    )


def _type(spec: Reader) -> str:
    """The type; empty when there is no such type, so that nothing is said of what depends on it."""
    kind = spec.text("type") or ("" if spec.has("type") else "ClusterIP")
    if kind and kind not in _TYPES:
        spec.fault("type", f"there is no {quoted(kind)}", one_of(kind, _TYPES))
        return ""
    if kind == "LoadBalancer":
        spec.fault("type", f"{kind} {_YET}", "use NodePort")
    return kind


def _affinity(spec: Reader, address: str) -> int:
    """``sessionAffinity`` and its timeout, 0 for None."""
    kind = spec.choice("sessionAffinity", ("None", "ClientIP"), "None")
    if kind == "None":
        if spec.has("sessionAffinityConfig") and spec.text("sessionAffinity") in ("", "None"):
            spec.fault("sessionAffinityConfig", "may only be used when sessionAffinity is ClientIP", "remove it")
        return 0
    if address == "None":
        return 0  # headless: nothing is forwarded that could stick
    config = spec.mapping("sessionAffinityConfig").mapping("clientIP")
    return config.integer("timeoutSeconds", 1, 86400) or AFFINITY_SECONDS


def _external_policy(spec: Reader, kind: str, external: bool) -> TrafficPolicy:
    name = "externalTrafficPolicy"
    if kind == "ClusterIP" and spec.text(name) and not external:
        what = "may only be used when type is NodePort or LoadBalancer, or with externalIPs"
        spec.fault(name, what, "remove it, or write type: NodePort")
        return TrafficPolicy.CLUSTER
    return TrafficPolicy(spec.choice(name, _POLICIES, "Cluster"))


def _health_check(annotations: Reader, kind: str, policy: TrafficPolicy) -> int:
    text = annotations.text(HEALTH_CHECK)
    if not text:
        return 0
    if kind == "ClusterIP" or policy is not TrafficPolicy.LOCAL:
        what = "may only be used when type is NodePort and externalTrafficPolicy is Local"
        annotations.fault(HEALTH_CHECK, what, "remove it")
    elif not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) not in NODE_PORTS:
        what = f"{quoted(text)} is no number of {NODE_PORTS[0]}-{NODE_PORTS[-1]}"
        annotations.fault(HEALTH_CHECK, what, "choose one of these that no nodePort has")
    else:
        return int(text)
    return 0


def _not_yet(spec: Reader, kind: str) -> None:
    for name in _LOAD_BALANCERS:
        if _says_something(spec, name) and kind != "LoadBalancer":
            hint = _NO_LOAD_BALANCER.get(name, "remove it")
            spec.fault(name, "is only for type LoadBalancer, which is not supported yet", hint)
    if spec.text("externalName") and kind != "ExternalName":
        spec.fault("externalName", "may only be used when type is ExternalName", "remove it")
    if spec.text("trafficDistribution"):
        spec.fault("trafficDistribution", f"{_YET}: traffic spreads evenly over all pods", "remove it")


def _says_something(spec: Reader, name: str) -> bool:
    """Whether a field is there and neither empty nor zero, which the API takes for not there."""
    if not spec.has(name):
        return False
    node = spec.node.fields[name]
    return bool(node.items or node.fields or node.text not in ("", "0"))
