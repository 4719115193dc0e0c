"""The addresses of a Service: its own, external ones, and those that may use it (core validation)."""

from __future__ import annotations

import ipaddress

from harness.manifests.faults import quoted
from harness.manifests.reader import Reader

SERVICE_RANGE = ipaddress.IPv4Network("10.96.0.0/12")
"""Where Services have addresses of their own: kubeadm's default --service-cluster-ip-range."""

_YET = "is not supported yet"


def cluster_ip(spec: Reader, kind: str) -> str:
    """``clusterIP``: ``None`` (the word) for a headless Service, empty when one is to be allocated."""
    address = spec.text("clusterIP")
    listed = spec.strings("clusterIPs")
    for family in spec.strings("ipFamilies"):
        if family == "IPv6":
            spec.fault("ipFamilies", f"IPv6 {_YET}: addresses are IPv4", "remove it")
        elif family != "IPv4":
            spec.fault("ipFamilies", f"there is no {quoted(family)}", "write IPv4")
    if listed and address and listed[0] != address:
        spec.fault("clusterIPs", "the first entry must be the same as clusterIP", f"clusterIP is {quoted(address)}")
    for entry in listed:
        if entry not in (address, "None"):
            _own(spec, "clusterIPs", entry)
    if address == "None" or (not address and listed == ("None",)):
        if kind == "NodePort":
            spec.fault("clusterIP", "None, a headless Service, has no nodePort", "remove it, or remove type: NodePort")
        return "None"
    if not address:
        return listed[0] if listed and _is_ours(listed[0]) else ""
    _own(spec, "clusterIP", address)
    return address if _is_ours(address) else ""


def _is_ours(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text) in SERVICE_RANGE
    except ValueError:
        return False


def _own(spec: Reader, name: str, text: str) -> None:
    """An address of the Service's own; one of another range, as kubectl prints it, is replaced by one of ours."""
    try:
        version = ipaddress.ip_address(text).version
    except ValueError:
        hint = "write None" if text.lower() == "none" else "remove it, and one is given to it"
        spec.fault(name, f"{quoted(text)} is not an IPv4 address", hint)
        return
    if version == 6:
        spec.fault(name, f"IPv6 {_YET}: addresses are IPv4", "remove it")


def external_ips(spec: Reader) -> tuple[str, ...]:
    """``externalIPs``, each once."""
    found: dict[str, None] = {}
    for text in spec.strings("externalIPs"):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            spec.fault("externalIPs", f"{quoted(text)} is not an IPv4 address", "such as 203.0.113.7")
            continue
        if address.version == 6:
            spec.fault("externalIPs", f"IPv6 {_YET}: addresses are IPv4", "remove it")
        elif not 0 < int(address) >> 24 < 224 or address.is_loopback or address.is_link_local:
            spec.fault("externalIPs", f"{address} is not the address of a machine", "such as 203.0.113.7")
        elif address in SERVICE_RANGE:
            spec.fault("externalIPs", f"{address} lies in the range of Services, {SERVICE_RANGE}", "choose another")
        else:
            found[text] = None
    return tuple(found)


def networks(annotations: Reader, name: str, kind: str) -> tuple[str, ...]:
    """The IPv4 networks of an annotation, without those that lie within others."""
    text = annotations.text(name)
    if text and kind == "ClusterIP":
        annotations.fault(name, "may only be used when type is NodePort", "remove it")
        return ()
    found = []
    for entry in text.split(",") if text else ():
        try:
            found.append(ipaddress.IPv4Network(entry.strip()))
        except ValueError:
            wrong = f"{quoted(entry.strip())} is not an IPv4 network"
            annotations.fault(name, wrong, "such as 192.168.56.0/24, several separated by commas")
    return tuple(str(network) for network in ipaddress.collapse_addresses(found))
