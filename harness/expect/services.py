"""One Service of an expectation file: its ports and endpoints, written there or exported, and what is promised."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from harness.expect.exported import Exported
from harness.expect.identity import Identity, read_identity
from harness.manifests import names
from harness.manifests.faults import Faults, quoted
from harness.manifests.hints import one_of
from harness.manifests.meta import DEFAULT_NAMESPACE
from harness.manifests.pod import read_protocol
from harness.manifests.reader import Reader
from harness.manifests.scalars import whole
from harness.model.address import IPFamily
from harness.model.expectation import Localhost, Picks, PromisedEndpoint, PromisedPort, PromisedService, SourceIP
from harness.model.workload import Protocol

_BY_CHANCE = (Picks.RANDOM, Picks.ROUND_ROBIN)
_MOST_WEIGHT = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """What a Service is read with: the machines' names, the file's own identity, exported Services."""

    nodes: Collection[str]
    identity: Identity
    exported: Mapping[str, Exported]


def read_service(reader: Reader, known: Known) -> PromisedService:
    """A Service; its faults are noted."""
    namespace = reader.text("namespace", names.label) or DEFAULT_NAMESPACE
    name = reader.text("name", names.label)
    exported = known.exported.get(f"{namespace}/{name}")
    identity = read_identity(reader.mapping("identity"), known.identity)
    if reader.has("ports") or exported is None:
        ports = _written(reader, known, identity)
        local, sticky = _policies(reader)
    else:
        if reader.has("endpoints"):
            reader.fault("endpoints", f"{exported.file} has them", "write ports too, or remove it")
        ports = exported.ports(identity)
        local, sticky = _policies(reader, exported)
    weights = _weights(reader, ports)
    picks = Picks.WEIGHTS if reader.has("weights") else Picks(reader.choice("spread", _BY_CHANCE, Picks.RANDOM))
    _consistent(reader, identity, known, sticky=sticky)
    if local:
        _homes(reader, ports)
    source = SourceIP(reader.choice("sourceIP", ("kept", "hidden"), "kept")) if reader.has("sourceIP") else SourceIP.ANY
    localhost = Localhost.ANY
    if reader.has("localhost"):
        localhost = Localhost(reader.choice("localhost", ("answers", "closed"), "answers"))
    return PromisedService(
        namespace, name, tuple(_weighed(port, weights) for port in ports), picks, source, localhost, local, sticky,
        _families(reader, None if reader.has("ports") else exported), reader.has("ipFamilies"),
    )  # fmt: skip


def _families(reader: Reader, exported: Exported | None) -> tuple[IPFamily, ...]:
    """``ipFamilies``: of which addresses of nodes the promises are; when left out, as exported, else IPv4's."""
    listed = reader.strings("ipFamilies")
    for name in listed:
        if name not in tuple(IPFamily):
            reader.fault("ipFamilies", f"there is no {quoted(name)}", "write IPv4 or IPv6")
        elif exported is not None and name not in exported.families:
            reader.fault("ipFamilies", f"the Service in {exported.file} has no {name}")
    usual = exported.families if exported is not None else (IPFamily.V4,)
    return tuple(each for each in IPFamily if each in listed) or usual


def _policies(reader: Reader, exported: Exported | None = None) -> tuple[bool, bool]:
    """externalTrafficPolicy Local, sessionAffinity ClientIP: as written, else as exported."""
    local = "Local" if exported is not None and exported.local else "Cluster"
    sticky = "ClientIP" if exported is not None and exported.sticky else "None"
    return (
        reader.choice("externalTrafficPolicy", ("Cluster", "Local"), local) == "Local",
        reader.choice("sessionAffinity", ("None", "ClientIP"), sticky) == "ClientIP",
    )


def _written(reader: Reader, known: Known, identity: Identity) -> tuple[PromisedPort, ...]:
    listed = reader.mappings("ports")
    if not listed:
        near = f"write ports, or name one of {', '.join(known.exported)}" if known.exported else "write nodePort: …"
        reader.fault("ports", "there is no nodePort to ask", near)
    if not reader.has("endpoints"):
        hint = "name the servers that answer; write [] when the nodePort must refuse"
        reader.fault("endpoints", "is missing", hint)
    endpoints = _endpoints(reader, known, identity)
    ports = []
    for port in listed:
        protocol = read_protocol(port)
        node_port = port.integer("nodePort", 1, 65535) or 0
        number = port.integer("port", 1, 65535) or node_port
        ask = identity.ask(protocol)
        if protocol is Protocol.UDP and ask.name.find == "header":
            port.fault("protocol", "answers over UDP have no header that could say who gave them", "write regex:")
        ports.append(PromisedPort(node_port, protocol, number, ask, endpoints, port.text("name", names.label)))
    return tuple(ports)


def _endpoints(reader: Reader, known: Known, identity: Identity) -> tuple[PromisedEndpoint, ...]:
    found: dict[str, PromisedEndpoint] = {}
    called: dict[str, str] = {}
    for each in reader.mappings("endpoints"):
        name, address = each.text("name", names.subdomain), each.text("address", _address)
        node = each.text("node")
        if node and node not in known.nodes:
            each.fault("node", f"the inventory has no {quoted(node)}", one_of(node, known.nodes))
        if identity.by_address and not address and not each.has("answers"):
            each.fault("address", "is missing: answers tell the endpoint's address (identity.tells)")
        answers = each.text("answers") or (address if identity.by_address else name)
        if name in found:
            each.fault("name", f"there is another {quoted(name)}", "each endpoint has a name of its own")
        elif answers and answers in called:
            each.fault("answers" if each.has("answers") else "name", f"{called[answers]} answers {quoted(answers)} too")
        called[answers] = name
        found[name] = PromisedEndpoint(name, answers, address, each.integer("port", 1, 65535) or 0, node)
    return tuple(found.values())


def _address(text: str) -> str:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return f"{quoted(text)} is not an IPv4 address"
    return ""


def _weights(reader: Reader, ports: tuple[PromisedPort, ...]) -> dict[str, int]:
    if not reader.has("weights"):
        return {}
    if reader.has("spread"):
        reader.fault("spread", "weights say how clients are spread", "remove one of the two")
    inner = reader.mapping("weights")
    written = {name: whole(node.text) or 0 for name, node in inner.node.fields.items() if node.tag == "int"}
    ends = {endpoint.name for port in ports for endpoint in port.endpoints}
    for name, weight in written.items():
        if name not in ends:
            inner.fault(name, "there is no such endpoint", one_of(name, sorted(ends)) if ends else "")
        elif not 0 <= weight <= _MOST_WEIGHT:
            inner.fault(name, f"{weight} is not within 0-{_MOST_WEIGHT}")
    missing = sorted(ends - written.keys())
    if missing:
        reader.fault("weights", f"without {', '.join(missing)}", "every endpoint has a weight; 0: it must not answer")
    elif written and not any(written.values()):
        reader.fault("weights", "every weight is 0", "write endpoints: [] when the nodePort must refuse")
    return written


def _weighed(port: PromisedPort, weights: Mapping[str, int]) -> PromisedPort:
    ends = tuple(replace(end, weight=weights.get(end.name, 1)) for end in port.endpoints)
    return replace(port, endpoints=ends)


def _consistent(reader: Reader, identity: Identity, known: Known, *, sticky: bool) -> None:
    """Promises that cannot be judged, or not together, are faults: none is ever passed over."""
    if reader.has("sourceIP") and not identity.tells_client:
        reader.fault(
            "sourceIP", "no answer tells which client it saw", "write identity.client, such as {header: X-Client}"
        )
    if sticky and (reader.has("spread") or reader.has("weights")):
        name = "spread" if reader.has("spread") else "weights"
        reader.fault(name, "with sessionAffinity ClientIP one client has one endpoint: no spread to judge", "remove it")
    if not known.nodes:
        reader.fault("", "the inventory has no machine")


def _homes(reader: Reader, ports: tuple[PromisedPort, ...]) -> None:
    homeless = {end.name for port in ports for end in port.endpoints if not end.node}
    if homeless:
        told = f"on which node is {', '.join(sorted(homeless))}?"
        reader.fault("externalTrafficPolicy", told, "Local needs the node of every endpoint")


def read_unnamed(exported: Exported, identity: Identity, noted: Faults) -> PromisedService:
    """A Service that was exported and that the expectation file says nothing of: equal chances for all endpoints."""
    ports = exported.ports(identity)
    if exported.local and any(not end.node for port in ports for end in port.endpoints):
        noted.add(exported.line, "spec.externalTrafficPolicy", "an endpoint has no nodeName, which Local needs")
    return PromisedService(
        exported.namespace, exported.name, ports, local=exported.local, sticky=exported.sticky,
        families=exported.families, written=False,
    )  # fmt: skip
