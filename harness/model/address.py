"""IP addresses as text: of which family they are, how they sort, how they are written with a port. Pure."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address


class IPFamily(StrEnum):
    """Kubernetes' ``IPFamily``."""

    V4 = "IPv4"
    V6 = "IPv6"


class IPFamilyPolicy(StrEnum):
    """``ipFamilyPolicy``: one family; two where the cluster has them; or two whatever comes (KEP-563)."""

    SINGLE_STACK = "SingleStack"
    PREFER_DUAL_STACK = "PreferDualStack"
    REQUIRE_DUAL_STACK = "RequireDualStack"


def family(address: str) -> IPFamily:
    """The family of an address or network."""
    return IPFamily.V6 if ":" in address else IPFamily.V4


def parsed(text: str) -> IPv4Address | IPv6Address:
    """The address; ``ValueError`` when it is none, or has a zone (``fe80::1%eth0``), which could be any text."""
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
    return ip_address(text)


def rank(address: str) -> tuple[int, int]:
    """Sorts addresses by their numbers, those of IPv4 first."""
    return (6, int(IPv6Address(address))) if ":" in address else (4, int(IPv4Address(address)))


def with_port(address: str, port: int) -> str:
    """``10.244.0.2:80``, ``[fd00::2]:80`` (RFC 3986, 3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
