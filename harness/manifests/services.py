"""Services: the API's rules for one Service, and what of it is not supported yet."""

from __future__ import annotations

from collections import Counter

from harness.manifests import fields, names
from harness.manifests.document import quoted
from harness.manifests.meta import Meta
from harness.manifests.reader import Reader
from harness.model.workload import Protocol, Service, ServicePort, ServiceType

NODE_PORTS = range(30000, 32768)
"""kube-apiserver's default --service-node-port-range."""

_YET = "is not supported yet"
_ONLY = {
    "sessionAffinity": ("None", f"{_YET}: every connection picks anew"),
    "externalTrafficPolicy": ("Cluster", f"{_YET}: every node forwards to every pod"),
    "internalTrafficPolicy": ("Cluster", f"{_YET}: every node forwards to every pod"),
    "ipFamilyPolicy": ("SingleStack", f"{_YET}: addresses are IPv4"),
}
_NOT = ("externalIPs", "externalName", "healthCheckNodePort", "loadBalancerClass", "loadBalancerIP",
        "loadBalancerSourceRanges", "sessionAffinityConfig", "trafficDistribution")  # fmt: skip
_TYPES = tuple(ServiceType)


def read_service(top: Reader, meta: Meta) -> Service | None:
    """A Service; ``None`` when its spec is not there."""
    spec = top.mapping("spec", required=True)
    if spec is None:
        return None
    elsewhere = dict.fromkeys(("port", "nodePort", "targetPort", "protocol"), "ports[]")
    spec.only(fields.SERVICE_SPEC, elsewhere | {"matchLabels": "a Deployment; a Service's selector is a plain map"})
    kind = _type(spec)
    _not_yet(spec)
    selector = _selector(spec)
    ports = tuple(port for entry in spec.mappings("ports", required=True) if (port := _port(entry, kind)) is not None)
    _together(spec, ports)
    return Service(meta.namespace, meta.name, kind, selector, ports, meta.source)


def _type(spec: Reader) -> ServiceType:
    given = spec.text("type")
    if given in ("LoadBalancer", "ExternalName"):
        spec.fault("type", f"{given} {_YET}", "use NodePort")
        return ServiceType.NODE_PORT
    return ServiceType(spec.choice("type", _TYPES, ServiceType.CLUSTER_IP))


def _selector(spec: Reader) -> dict[str, str]:
    if spec.has("selector") and spec.fields["selector"].tag == "map":
        inner = spec.mapping("selector")
        nested = [name for name in ("matchLabels", "matchExpressions") if inner is not None and name in inner.fields]
        if nested:
            spec.fault(
                "selector", f"a Service's selector has no {nested[0]}", "write the labels directly below selector"
            )
            return {}
    return spec.string_map("selector", names.label_pair)


def _not_yet(spec: Reader) -> None:
    for name, (allowed, why) in _ONLY.items():
        value = spec.text(name)
        if value and value != allowed:
            spec.fault(name, f"{quoted(value)} {why}", f"remove it, or write {allowed}")
    for name in _NOT:
        if spec.has(name):
            spec.fault(name, _YET, "remove it")
    if spec.boolean("publishNotReadyAddresses"):
        spec.fault("publishNotReadyAddresses", _YET, "remove it")
    if spec.has("clusterIP") and spec.text("clusterIP") == "None":
        spec.fault("clusterIP", f"a headless Service {_YET}", "remove it")
    if "IPv6" in spec.strings("ipFamilies"):
        spec.fault("ipFamilies", f"IPv6 {_YET}: addresses are IPv4", "remove it")


def _port(entry: Reader, kind: ServiceType) -> ServicePort | None:
    entry.only(fields.SERVICE_PORT, {"containerPort": "a container's ports[]; here it is targetPort"})
    if not entry.has("port"):
        entry.fault("", "port is missing", "the port of the Service inside the cluster; targetPort defaults to it")
    port = entry.integer("port", 1, 65535)
    name = entry.text("name", check=names.label)
    protocol = Protocol(entry.choice("protocol", tuple(Protocol), Protocol.TCP))
    target = _target_port(entry)
    node_port = _node_port(entry, kind)
    return None if port is None else ServicePort(port, target or port, protocol, name, node_port)


def _target_port(entry: Reader) -> int | str | None:
    if not entry.has("targetPort") or entry.fields["targetPort"].tag == "int":
        return entry.integer("targetPort", 1, 65535)
    if entry.fields["targetPort"].text.isdigit():
        entry.fault("targetPort", f"{quoted(entry.fields['targetPort'].text)} is a string", "remove the quotes")
        return None
    return entry.text("targetPort", check=names.port_name) or None


def _node_port(entry: Reader, kind: ServiceType) -> int | None:
    number = entry.integer("nodePort", 0, 65535)
    if not number:
        return None
    if kind is ServiceType.CLUSTER_IP:
        entry.fault("nodePort", "may not be used when type is ClusterIP", "write type: NodePort")
        return None
    if number not in NODE_PORTS:
        first, last = NODE_PORTS[0], NODE_PORTS[-1]
        hint = "leave it out, and a free one is taken"
        entry.fault("nodePort", f"{number} is not in the valid range; the range of valid ports is {first}-{last}", hint)
        return None
    return number


def _together(spec: Reader, ports: tuple[ServicePort, ...]) -> None:
    """The rules for several ports of one Service."""
    if len(ports) > 1 and not all(port.name for port in ports):
        spec.fault("ports", "every port needs a name when there are several")
    for name, times in Counter(port.name for port in ports if port.name).items():
        if times > 1:
            spec.fault("ports", f"the port name {quoted(name)} is there {times} times")
    for (protocol, number), times in Counter((port.protocol, port.port) for port in ports).items():
        if times > 1:
            spec.fault("ports", f"port {number}/{protocol} is there {times} times")
    for (protocol, wanted), times in Counter(
        (port.protocol, port.node_port) for port in ports if port.node_port
    ).items():
        if times > 1:
            spec.fault("ports", f"nodePort {wanted}/{protocol} is there {times} times")
