"""The addresses of a Service: its own, external ones, and those that may use it (core validation)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from harness.manifests.faults import quoted
from harness.manifests.reader import Reader
from harness.model.address import IPFamily, IPFamilyPolicy, family, parsed

SERVICE_RANGE = ipaddress.IPv4Network("10.96.0.0/12")
"""Where Services have addresses of their own: kubeadm's default --service-cluster-ip-range."""

SERVICE_RANGE6 = ipaddress.IPv6Network("fd00:10:96::/112")
"""The same of IPv6."""


@dataclass(frozen=True, slots=True)
class Own:
    """A Service's own addresses as far as they are written, fields as in :class:`harness.model.workload.Service`."""

    cluster_ip: str
    cluster_ip6: str
    families: tuple[IPFamily, ...]
    policy: IPFamilyPolicy


def own(spec: Reader, kind: str) -> Own:
    """``clusterIP``, ``clusterIPs``, ``ipFamilies`` and ``ipFamilyPolicy``, after KEP-563.

    Whether the cluster has the families is for the plan to say.
    """
    policy = IPFamilyPolicy(spec.choice("ipFamilyPolicy", tuple(IPFamilyPolicy), IPFamilyPolicy.SINGLE_STACK))
    families = _families(spec)
    address, listed = spec.text("clusterIP"), spec.strings("clusterIPs")
    if listed and address and listed[0] != address:
        spec.fault("clusterIPs", "the first entry must be the same as clusterIP", f"clusterIP is {quoted(address)}")
    if address == "None" or (not address and listed == ("None",)):
        if kind == "NodePort":
            spec.fault("clusterIP", "None, a headless Service, has no nodePort", "remove it, or remove type: NodePort")
        return Own("None", "", families, policy)
    written = [(name, entry) for name, entries in (("clusterIP", [address]), ("clusterIPs", listed))
               for entry in entries if entry and not (name == "clusterIPs" and entry in (address, "None"))]  # fmt: skip
    faults = [entry for name, entry in written if not _valid(spec, name, entry)]
    addresses = [] if faults else list(dict.fromkeys(each for each in (address, *listed) if each))
    families = _inferred(spec, addresses, families)
    if policy is IPFamilyPolicy.SINGLE_STACK and len(families) > 1:
        what = "clusterIPs" if len(addresses) > 1 else "ipFamilies"
        hint = "write RequireDualStack or PreferDualStack"
        spec.fault("ipFamilyPolicy", f"is SingleStack, but there are two {what}", hint)
    ours = {family(each): each for each in addresses if _is_ours(each)}
    return Own(ours.get(IPFamily.V4, ""), ours.get(IPFamily.V6, ""), families, policy)


def _families(spec: Reader) -> tuple[IPFamily, ...]:
    """``ipFamilies``: at most two, each once."""
    found: list[IPFamily] = []
    for text in spec.strings("ipFamilies"):
        if text not in tuple(IPFamily):
            spec.fault("ipFamilies", f"there is no {quoted(text)}", "write IPv4 or IPv6")
        elif text in found:
            spec.fault("ipFamilies", f"{text} is there twice", "each family once")
        else:
            found.append(IPFamily(text))
    return tuple(found)


def _inferred(spec: Reader, addresses: Sequence[str], families: tuple[IPFamily, ...]) -> tuple[IPFamily, ...]:
    """The families, with those of written addresses; the one at each place has to fit (core validation)."""
    theirs = tuple(family(each) for each in addresses)
    if len(theirs) > 2 or len(set(theirs)) < len(theirs):
        spec.fault("clusterIPs", "may have one address of each family", "remove the others")
        return families
    for place, (one, other) in enumerate(zip(theirs, families, strict=False)):
        if one is not other:
            name = "clusterIPs" if spec.has("clusterIPs") else "clusterIP"
            spec.fault(
                name, f"{addresses[place]} is not of family {other}, which ipFamilies says", "use the same order"
            )
            return families
    return families + theirs[len(families) :]


def _is_ours(text: str) -> bool:
    """Whether it is of our ranges; one of another, as kubectl prints it, is replaced by one of ours."""
    return any(parsed(text) in each for each in (SERVICE_RANGE, SERVICE_RANGE6))


def _valid(spec: Reader, name: str, text: str) -> bool:
    try:
        parsed(text)
    except ValueError:
        hint = "write None" if text.lower() == "none" else "remove it, and one is given to it"
        spec.fault(name, f"{quoted(text)} is not an IP address", hint)
        return False
    return True


def no_machine(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address cannot be that of a machine elsewhere: loopback, link-local, multicast, unspecified."""
    odd = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return odd or (address.version == 4 and not 0 < int(address) >> 24 < 224)


def external_ips(spec: Reader) -> tuple[str, ...]:
    """``externalIPs``, each once."""
    found: dict[str, None] = {}
    for text in spec.strings("externalIPs"):
        try:
            address = parsed(text)
        except ValueError:
            spec.fault("externalIPs", f"{quoted(text)} is not an IP address", "such as 203.0.113.7")
            continue
        if no_machine(address):
            spec.fault("externalIPs", f"{address} is not the address of a machine", "such as 203.0.113.7")
        elif _is_ours(text):
            which = SERVICE_RANGE if address.version == 4 else SERVICE_RANGE6
            spec.fault("externalIPs", f"{address} lies in the range of Services, {which}", "choose another")
        else:
            found[str(address)] = None
    return tuple(found)


def networks(annotations: Reader, name: str, kind: str) -> tuple[str, ...]:
    """The networks of an annotation, of either family, without those that lie within others."""
    text = annotations.text(name)
    if text and kind == "ClusterIP":
        annotations.fault(name, "may only be used when type is NodePort", "remove it")
        return ()
    found = []
    for entry in text.split(",") if text else ():
        try:
            found.append(ipaddress.ip_network(entry.strip() if "%" not in entry else "a zone is no part of a network"))
        except ValueError:
            wrong = f"{quoted(entry.strip())} is not an IP network"
            annotations.fault(name, wrong, "such as 192.168.56.0/24, several separated by commas")
    v4 = ipaddress.collapse_addresses(each for each in found if isinstance(each, ipaddress.IPv4Network))
    v6 = ipaddress.collapse_addresses(each for each in found if isinstance(each, ipaddress.IPv6Network))
    return tuple(str(network) for network in (*v4, *v6))
