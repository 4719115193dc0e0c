"""The API's rules for names, labels and ports; each function returns what is wrong, or nothing.

Source: apimachinery/pkg/util/validation (DNS-1123, DNS-1035, qualified names, IANA service names).
"""

from __future__ import annotations

import re

from harness.manifests.faults import quoted

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_EDGES = "with a letter or digit at both ends"
_PORT_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def label(name: str) -> str:
    """DNS-1123 label: namespaces, Services (since 1.34 relaxed from DNS-1035), containers, port names."""
    if len(name) > 63:
        return f"{quoted(name)} has {len(name)} characters, at most 63 are allowed"
    if not _LABEL.fullmatch(name):
        return f"{quoted(name)} must be lower-case letters, digits and '-', {_EDGES}"
    return ""


def subdomain(name: str) -> str:
    """DNS-1123 subdomain: Pods, Deployments, ReplicaSets."""
    if len(name) > 253:
        return f"{quoted(name)} has {len(name)} characters, at most 253 are allowed"
    if not _SUBDOMAIN.fullmatch(name):
        return f"{quoted(name)} must be lower-case letters, digits, '-' and '.', {_EDGES}"
    return ""


def port_name(name: str) -> str:
    """IANA service name: container port names, and targetPort by name."""
    if len(name) > 15 or not _PORT_NAME.fullmatch(name) or not re.search("[a-z]", name):
        return (
            f"{quoted(name)} is not a port name: at most 15 lower-case letters, digits and single '-' between them, "
            "with at least one letter"
        )
    return ""


def label_key(key: str) -> str:
    """A qualified name, as of labels: an optional DNS-1123 subdomain and '/', then at most 63 characters."""
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or subdomain(prefix)):
        return f"the part of {quoted(key)} before '/' is not a DNS name"
    if not name or len(name) > 63 or not _VALUE.fullmatch(name):
        return f"the key {quoted(key)} must be at most 63 letters, digits, '-', '_' and '.', {_EDGES}"
    return ""


def label_value(value: str) -> str:
    """The value of a label: empty, or at most 63 characters."""
    if len(value) > 63 or not _VALUE.fullmatch(value):
        return f"the value {quoted(value)} must be at most 63 letters, digits, '-', '_' and '.', {_EDGES}"
    return ""


def label_pair(key: str, value: str) -> str:
    """A label."""
    return label_key(key) or label_value(value)


def annotation_pair(key: str, _value: str) -> str:
    """An annotation: its key follows the rule of label keys, in any case; its value is free."""
    return label_key(key.lower())
