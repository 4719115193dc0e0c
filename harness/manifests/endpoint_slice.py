"""EndpointSlices that a user writes for a Service without selector (discovery validation)."""

from __future__ import annotations

import ipaddress

from harness.manifests import names
from harness.manifests.faults import quoted
from harness.manifests.meta import Meta
from harness.manifests.pod import read_protocol
from harness.manifests.reader import Reader
from harness.manifests.service_addresses import no_machine
from harness.model.address import IPFamily, parsed
from harness.model.workload import EndpointSlice, SliceEndpoint, SlicePort

SERVICE_NAME = "kubernetes.io/service-name"
"""The label that says whose endpoints these are."""


def read_endpoint_slice(top: Reader, meta: Meta) -> EndpointSlice:
    """An EndpointSlice of addresses of one family."""
    top.require("addressType")
    kind = top.text("addressType")
    if kind == "FQDN":
        top.fault("addressType", f"{kind} is not supported: endpoints are addresses", "write IPv4 or IPv6")
    elif kind and kind not in tuple(IPFamily):
        top.fault("addressType", f"there is no {quoted(kind)}", "write IPv4 or IPv6")
    service = meta.labels.get(SERVICE_NAME, "")
    if not service:
        where = top.mapping("metadata")
        where.fault("labels", f"{SERVICE_NAME} is missing", "it names the Service that these endpoints are for")
    ports = tuple(
        SlicePort(reader.text("name", names.label), port, read_protocol(reader))
        for reader in top.mappings("ports")
        if (port := _port(reader))
    )
    found = [endpoint for reader in top.mappings("endpoints") for endpoint in _endpoints(reader, kind)]
    return EndpointSlice(meta.namespace, meta.name, service, tuple(found), ports, meta.source)


def _port(reader: Reader) -> int | None:
    if not reader.has("port"):
        reader.fault("port", "is missing: all ports are not supported yet", "write a number")
    return reader.integer("port", 1, 65535)


def _endpoints(reader: Reader, kind: str) -> list[SliceEndpoint]:
    """One entry has one endpoint: consumers take the first address alone."""
    reader.require("addresses")
    listed = reader.strings("addresses")
    if reader.empty("addresses"):
        reader.fault("addresses", "must have at least one entry")
    conditions = reader.mapping("conditions")
    for text in listed if kind in tuple(IPFamily) else ():
        try:
            address = ipaddress.IPv4Address(text) if kind == IPFamily.V4 else ipaddress.IPv6Address(str(parsed(text)))
        except ValueError:
            reader.fault("addresses", f"{quoted(text)} is not an {kind} address")
            return []
        if no_machine(address):
            reader.fault("addresses", f"{address} is not the address of a machine")
            return []
    ready = not conditions.has("ready") or conditions.true("ready")
    terminating = conditions.true("terminating")
    serving = conditions.true("serving") if conditions.has("serving") else ready
    ending = terminating and not ready  # with publishNotReadyAddresses one that ends is ready until it is gone
    node = reader.text("nodeName", names.subdomain)
    if listed and (ready or (terminating and serving)):
        return [SliceEndpoint(str(ipaddress.ip_address(listed[0])) if kind == "IPv6" else listed[0], node, ending)]
    return []
