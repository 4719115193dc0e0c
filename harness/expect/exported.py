"""Services and EndpointSlices as ``kubectl get -o yaml`` exports them from a real cluster.

What is needed is read, everything else is passed over: status, managedFields, fields of later versions, other kinds.
What is needed and cannot be had is a fault. A Service of two families has slices of each; those of names (FQDN) are no
proxy's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.expect.identity import Identity
from harness.manifests.document import documents
from harness.manifests.faults import Faults
from harness.manifests.meta import DEFAULT_NAMESPACE
from harness.manifests.nodes import Node
from harness.manifests.pod import read_protocol
from harness.manifests.reader import Reader
from harness.model.address import IPFamily
from harness.model.expectation import PromisedEndpoint, PromisedPort
from harness.model.workload import Protocol

_SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class _Port:
    name: str
    protocol: Protocol
    port: int
    node_port: int
    endpoints: tuple[PromisedEndpoint, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """A Service with nodePorts, as a cluster has it; ``file`` and ``line`` are where it was read."""

    file: str
    line: int
    namespace: str
    name: str
    local: bool
    sticky: bool
    families: tuple[IPFamily, ...]
    found: tuple[_Port, ...]

    def ports(self, identity: Identity) -> tuple[PromisedPort, ...]:
        """Its nodePorts, where endpoints say who they are so."""
        return tuple(
            PromisedPort(
                port.node_port, port.protocol, port.port, identity.ask(port.protocol),
                tuple(_called(end, identity) for end in port.endpoints), port.name,
            )
            for port in self.found
        )  # fmt: skip


def _called(end: PromisedEndpoint, identity: Identity) -> PromisedEndpoint:
    answers = end.address if identity.by_address else end.name
    return replace(end, answers=answers)


def read_exported(file: str, data: bytes, noted: Faults) -> dict[str, Exported]:
    """The Services with nodePorts of one file, by ``namespace/name``; faults are noted."""
    objects = [each for document in documents(data, noted) for each in _objects(document, noted)]
    slices: dict[str, list[Reader]] = {}
    for top in objects:
        if top.text("kind") == "EndpointSlice" and top.text("addressType") != "FQDN":
            labels = top.mapping("metadata").mapping("labels")
            slices.setdefault(f"{_namespace(top)}/{labels.text(_SERVICE_NAME)}", []).append(top)
    found = {}
    for top in objects:
        if top.text("kind") != "Service":
            continue
        key = f"{_namespace(top)}/{top.mapping('metadata').text('name')}"
        service = _service(file, top, slices.get(key, []))
        if service.found:
            found[key] = service
    if not found and not noted.found:
        noted.add(1, "", "there is no Service with a nodePort in it", "kubectl get service,endpointslice -A -o yaml")
    return found


def _objects(document: Node, noted: Faults) -> Iterator[Reader]:
    top = Reader(document, "", document.line, noted)
    if document.tag == "map" and top.text("kind").endswith("List"):
        items = document.fields.get("items")
        yield from (Reader(item, "", item.line, noted) for item in (items.items if items else ()) if item.tag == "map")
    elif document.tag == "map":
        yield top


def _namespace(top: Reader) -> str:
    return top.mapping("metadata").text("namespace") or DEFAULT_NAMESPACE


def _service(file: str, top: Reader, slices: Sequence[Reader]) -> Exported:
    spec = top.mapping("spec")
    given = spec.strings("ipFamilies") or [each.text("addressType") for each in slices]
    families = tuple(each for each in IPFamily if each in given) or (IPFamily.V4,)
    ports = tuple(
        _port(port, slices, families)
        for port in spec.mappings("ports")
        if port.integer("nodePort", 1, 65535) and port.text("protocol") != "SCTP"
    )
    return Exported(
        file, top.line, _namespace(top), top.mapping("metadata").text("name"),
        spec.text("externalTrafficPolicy") == "Local", spec.text("sessionAffinity") == "ClientIP", families, ports,
    )  # fmt: skip


def _port(port: Reader, slices: Sequence[Reader], families: Sequence[IPFamily]) -> _Port:
    name, protocol = port.text("name"), read_protocol(port)
    found = [end for family in families for end in _endpoints(name, protocol, slices, family)]
    return _Port(name, protocol, port.integer("port") or 0, port.integer("nodePort") or 0, tuple(found))


def _endpoints(
    name: str, protocol: Protocol, slices: Sequence[Reader], family: IPFamily
) -> Collection[PromisedEndpoint]:
    """Those to which nodePorts of one family lead: a Service has slices of each of its own."""
    ready: dict[str, PromisedEndpoint] = {}
    ending: dict[str, PromisedEndpoint] = {}
    for top in [each for each in slices if (each.text("addressType") or IPFamily.V4) == family]:
        numbers = [
            each.integer("port", 1, 65535)
            for each in top.mappings("ports")
            if each.text("name") == name and (each.text("protocol") or "TCP") == protocol
        ]
        for each in top.mappings("endpoints") if numbers else ():
            end = _endpoint(each, numbers[0] or 0, family)
            conditions = each.mapping("conditions")
            if not conditions.has("ready") or conditions.true("ready"):
                ready[end.name] = end
            elif conditions.true("serving") and conditions.true("terminating"):
                ending[end.name] = end
    return (ready or ending).values()  # KEP-1669: those that end serve only when no other does


def _endpoint(each: Reader, port: int, family: IPFamily) -> PromisedEndpoint:
    """Consumers take the first address alone; a Pod is called by its name, anything else by its address."""
    listed = each.strings("addresses")
    address = listed[0] if listed else ""
    if not address:
        each.fault("addresses", "an endpoint without an address")
    name = each.mapping("targetRef").text("name") or address
    return PromisedEndpoint(name, name, address, port, each.text("nodeName"), family=family)


def by_key(all_found: Sequence[Mapping[str, Exported]]) -> dict[str, Exported]:
    """The Services of all files together."""
    return {key: service for found in all_found for key, service in found.items()}
