"""Strict reading of plain values: exactly the known fields, each of its type and within its bounds. Pure.

Every function adds what it finds to ``reasons``, a line each, ``where: what``.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_POD = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_WORDS: Mapping[type, str] = {int: "a whole number", str: "a text", list: "a list", dict: "a mapping",
                              bool: "true or false"}  # fmt: skip
_USUAL = frozenset(str(number) for number in range(1, 224)) - {"127"}
"""First octets of unicast addresses; the kernel does not forward to loopback (KEP-6032 has the reasons)."""

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"({_OCTET})\.{_OCTET}\.{_OCTET}\.{_OCTET}")


def fields(
    value: Any,
    known: Mapping[str, type],
    where: str,
    reasons: list[str],
    optional: Mapping[str, type] | None = None,
) -> Mapping[str, Any] | None:
    """The mapping, if it has exactly the known fields, each of its type (``true`` is no whole number).

    Those that are ``optional`` may be missing.
    """
    if type(value) is not dict:
        reasons.append(f"{where}: {shown(value)} is not a mapping")
        return None
    if optional and not value.keys().isdisjoint(optional):
        known = {**known, **{name: kind for name, kind in optional.items() if name in value}}
    if value.keys() == known.keys() and all(type(value[field]) is kind for field, kind in known.items()):
        return value
    reasons.extend(f"{where}: field {field} is missing" for field in known if field not in value)
    reasons.extend(f"{where}: field {shown(field)} is not known" for field in value if field not in known)
    reasons.extend(f"{where}.{field}: {shown(value[field])} is not {_WORDS[kind]}"
                   for field, kind in known.items() if field in value and type(value[field]) is not kind)  # fmt: skip
    return None


def name(value: str, where: str, reasons: list[str]) -> None:
    """A DNS label, as namespaces, Services and ports have for names."""
    if not _NAME.fullmatch(value):
        reasons.append(f"{where}: {shown(value)} is not a name of Kubernetes")


def pod(value: str, where: str, reasons: list[str]) -> None:
    """``namespace/name`` of a pod."""
    if not _POD.fullmatch(value):
        reasons.append(f"{where}: {shown(value)} is not the namespace/name of a pod")


def word(value: str, known: Sequence[str], where: str, reasons: list[str]) -> None:
    """One of a few words."""
    if value not in known:
        neither = {1: f"not {known[0]}", 2: f"neither {' nor '.join(known)}"}.get(
            len(known), f"none of {', '.join(known)}"
        )
        reasons.append(f"{where}: {shown(value)} is {neither}")


def whole(value: int, least: int, most: int, where: str, reasons: list[str]) -> None:
    """A whole number within bounds."""
    if not least <= value <= most:
        reasons.append(f"{where}: {value} is not within {least} to {most}")


def address(value: Any, where: str, reasons: list[str]) -> str:
    """The address of a machine; one of IPv6 as the kernel writes it (RFC 5952), so that texts can be compared."""
    if type(value) is str and ":" in value:
        if not _is_machine6(value):
            reasons.append(f"{where}: {shown(value)} is not the IPv6 address of a machine")
        return value
    match = _IPV4.fullmatch(value) if type(value) is str else None
    if match is None:
        what = "the IPv4 address of a machine" if type(value) is not str else "an IPv4 address"
        reasons.append(f"{where}: {shown(value)} is not {what}")
    elif match[1] not in _USUAL:
        reasons.append(f"{where}: {shown(value)} is not the IPv4 address of a machine")
    return str(value)


def _is_machine6(text: str) -> bool:
    try:
        found = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    odd = found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified or found.ipv4_mapped
    return not odd and str(found) == text and "%" not in text


def addresses(values: list[Any], where: str, reasons: list[str]) -> Iterator[str]:
    """Addresses, each once."""
    for index, value in enumerate(values):
        _once(values, index, where, reasons)
        yield address(value, f"{where}[{index}]", reasons)


def networks(values: list[Any], where: str, reasons: list[str]) -> Iterator[str]:
    """Networks such as ``10.244.0.0/16``, each once."""
    for index, value in enumerate(values):
        _once(values, index, where, reasons)
        try:
            yield str(
                ipaddress.ip_network(value if type(value) is str and "/" in value and "%" not in value else "none")
            )
        except ValueError:
            reasons.append(f"{where}[{index}]: {shown(value)} is not an IP network such as 10.244.0.0/16")


def _once(values: list[Any], index: int, where: str, reasons: list[str]) -> None:
    if values[index] in values[:index]:
        reasons.append(f"{where}[{index}]: {shown(values[index])} is there twice")


def shown(value: Any) -> str:
    """A value as JSON, cut when it is long."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
