"""The API's rules for names, labels and ports; each function returns what is wrong, or nothing.

Source: apimachinery/pkg/util/validation (DNS-1123, DNS-1035, qualified names, IANA service names).
"""

from __future__ import annotations

import re

from harness.manifests.document import quoted

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_PORT_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def label(name: str) -> str:
    """DNS-1123 label: namespaces, Services (since 1.34 relaxed from DNS-1035), containers, port names."""
    if len(name) > 63:
        return f"{quoted(name)} has {len(name)} characters, at most 63 are allowed"
    if not _LABEL.fullmatch(name):
        return f"{quoted(name)} must be lower-case letters, digits and '-', and begin and end with a letter or digit"
    return ""


def subdomain(name: str) -> str:
    """DNS-1123 subdomain: Pods, Deployments, ReplicaSets."""
    if len(name) > 253:
        return f"{quoted(name)} has {len(name)} characters, at most 253 are allowed"
    if not _SUBDOMAIN.fullmatch(name):
        return (
            f"{quoted(name)} must be lower-case letters, digits, '-' and '.', and begin and end with a letter or digit"
        )
    return ""


def port_name(name: str) -> str:
    """IANA service name: container port names, and targetPort by name."""
    if len(name) > 15 or not _PORT_NAME.fullmatch(name) or not re.search("[a-z]", name):
        return (
            f"{quoted(name)} is not a port name: at most 15 lower-case letters, digits and single '-' between them, "
            "with at least one letter"
        )
    return ""


def label_pair(key: str, value: str) -> str:
    """A label's key (qualified name) and value."""
    prefix, slash, name = key.rpartition("/")
    if slash and (subdomain(prefix) or not prefix):
        return f"the prefix of the label key {quoted(key)} is not a DNS name"
    if not name or len(name) > 63 or not _VALUE.fullmatch(name):
        return f"the label key {quoted(key)} must be at most 63 letters, digits, '-', '_' and '.'"
    if len(value) > 63 or not _VALUE.fullmatch(value):
        return f"the label value {quoted(value)} must be at most 63 letters, digits, '-', '_' and '.'"
    return ""


def annotation_pair(key: str, _value: str) -> str:
    """An annotation's key follows the rule of label keys; its value is free."""
    return label_pair(key.lower(), "").replace("label key", "annotation key")
