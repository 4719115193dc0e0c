"""Services: the API's rules for one Service (core validation), and what of it is not supported yet."""

from __future__ import annotations

import ipaddress

from harness.manifests import names
from harness.manifests.faults import quoted
from harness.manifests.hints import one_of
from harness.manifests.meta import Meta
from harness.manifests.reader import Reader
from harness.manifests.service_ports import read_ports
from harness.model.workload import Service, ServiceType

_YET = "is not supported yet"
_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")

_CHOICES = {
    "sessionAffinity": ("None", ("ClientIP",), f"{_YET}: every connection picks a pod anew"),
    "internalTrafficPolicy": ("Cluster", ("Local",), f"{_YET}: every node forwards to every pod"),
    "ipFamilyPolicy": ("SingleStack", ("PreferDualStack", "RequireDualStack"), f"{_YET}: addresses are IPv4"),
}
"""Field to the value that is carried out, those that Kubernetes has besides, and why they are refused."""

_LOAD_BALANCERS = ("allocateLoadBalancerNodePorts", "healthCheckNodePort", "loadBalancerClass", "loadBalancerIP",
                   "loadBalancerSourceRanges")  # fmt: skip


def read_service(top: Reader, meta: Meta) -> Service:
    """A Service."""
    top.require("spec")
    spec = top.mapping("spec")
    kind = _type(spec)
    _choices(spec, kind)
    _not_yet(spec, kind)
    _addresses(spec)
    selector = spec.string_map("selector", names.label_pair)
    ports = read_ports(spec, kind)
    served = ServiceType.CLUSTER_IP if kind == "ClusterIP" else ServiceType.NODE_PORT
    return Service(meta.namespace, meta.name, served, selector, ports, meta.source)


def _type(spec: Reader) -> str:
    """The type; empty when there is no such type, so that nothing is said of what depends on it."""
    kind = spec.text("type") or ("" if spec.has("type") else "ClusterIP")
    if kind and kind not in _TYPES:
        spec.fault("type", f"there is no {quoted(kind)}", one_of(kind, _TYPES))
        return ""
    if kind in ("LoadBalancer", "ExternalName"):
        spec.fault("type", f"{kind} {_YET}", "use NodePort")
    return kind


def _choices(spec: Reader, kind: str) -> None:
    for name, (carried_out, others, why) in _CHOICES.items():
        _choice(spec, name, carried_out, others, why)
    policy = "externalTrafficPolicy"
    if kind == "ClusterIP" and spec.text(policy):
        spec.fault(
            policy, "may only be used when type is NodePort or LoadBalancer", "remove it, or write type: NodePort"
        )
    else:
        _choice(spec, policy, "Cluster", ("Local",), f"{_YET}: every node forwards to every pod")


def _choice(spec: Reader, name: str, carried_out: str, others: tuple[str, ...], why: str) -> None:
    value = spec.text(name)
    if value in others:
        spec.fault(name, f"{value} {why}", f"remove it, or write {carried_out}")
    elif value and value != carried_out:
        spec.fault(name, f"there is no {quoted(value)}", one_of(value, (carried_out, *others)))


def _not_yet(spec: Reader, kind: str) -> None:
    for name in _LOAD_BALANCERS:
        if _says_something(spec, name) and kind != "LoadBalancer":
            spec.fault(name, "is only for type LoadBalancer, which is not supported yet", "remove it")
    if _says_something(spec, "externalIPs"):
        spec.fault("externalIPs", f"{_YET}: Services answer on the nodes' addresses", "remove it")
    if spec.text("externalName") and kind != "ExternalName":
        spec.fault("externalName", "is only for type ExternalName, which is not supported yet", "remove it")
    if spec.text("trafficDistribution"):
        spec.fault("trafficDistribution", f"{_YET}: traffic spreads evenly over all pods", "remove it")
    if spec.has("sessionAffinityConfig") and spec.text("sessionAffinity") != "ClientIP":
        spec.fault("sessionAffinityConfig", "may only be used when sessionAffinity is ClientIP", "remove it")
    if spec.true("publishNotReadyAddresses"):
        spec.fault("publishNotReadyAddresses", f"{_YET}: only ready pods are endpoints", "remove it")


def _says_something(spec: Reader, name: str) -> bool:
    """Whether a field is there and neither empty nor zero, which the API takes for not there."""
    if not spec.has(name):
        return False
    node = spec.node.fields[name]
    return bool(node.items or node.fields or node.text not in ("", "0"))


def _addresses(spec: Reader) -> None:
    """``clusterIP`` is read so that what kubectl printed can be given back; Services answer on nodePorts alone."""
    address = spec.text("clusterIP")
    if address == "None":
        spec.fault("clusterIP", f"None, a headless Service, {_YET}", "remove it")
    elif address:
        _address(spec, "clusterIP", address)
    listed = spec.strings("clusterIPs")
    for entry in listed:
        if entry != address:
            _address(spec, "clusterIPs", entry)
    if listed and address and listed[0] != address:
        spec.fault("clusterIPs", "the first entry must be the same as clusterIP", f"clusterIP is {quoted(address)}")
    for family in spec.strings("ipFamilies"):
        if family == "IPv6":
            spec.fault("ipFamilies", f"IPv6 {_YET}: addresses are IPv4", "remove it")
        elif family != "IPv4":
            spec.fault("ipFamilies", f"there is no {quoted(family)}", "write IPv4")


def _address(spec: Reader, name: str, text: str) -> None:
    try:
        version = ipaddress.ip_address(text).version
    except ValueError:
        hint = "write None" if text.lower() == "none" else "remove it, and none is needed"
        spec.fault(name, f"{quoted(text)} is not an IPv4 address", hint)
        return
    if version == 6:
        spec.fault(name, f"IPv6 {_YET}: addresses are IPv4", "remove it")
