"""A container's readinessProbe (core/v1), with Kubernetes' defaults and limits.

``exec`` and ``grpc`` are read and not carried out, as images are not run: the plan says so, a TCP connect stands in.
"""

from __future__ import annotations

import re

from harness.manifests import names
from harness.manifests.faults import quoted
from harness.manifests.reader import Reader
from harness.model.workload import ContainerPort, Probe, ProbeKind, Protocol

HANDLERS = tuple(ProbeKind)
_DEFAULTS = {"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
_LONGEST = 2**31 - 1
_PATH = re.compile(r"[\x21-\x7e]*")
_HEADER = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")


def read_probe(container: Reader, ports: tuple[ContainerPort, ...]) -> Probe | None:
    """The readinessProbe of a container with these ports; ``None`` when it has none."""
    if not container.has("readinessProbe"):
        return None
    probe = container.mapping("readinessProbe")
    given = [kind for kind in HANDLERS if probe.has(kind)]
    if len(given) != 1:
        known = ", ".join(HANDLERS)
        fault = f"has {' and '.join(given)}, only one is allowed" if given else f"does not say what to ask ({known})"
        container.fault("readinessProbe", fault, f"keep one of {known}" if given else "add httpGet or tcpSocket")
        return None
    if probe.has("terminationGracePeriodSeconds"):
        probe.fault("terminationGracePeriodSeconds", "must not be set for a readinessProbe", "remove it")
    asked = probe.mapping(given[0])
    _asks_the_pod(asked)
    path, host, headers = _http(asked) if given[0] is ProbeKind.HTTP_GET else ("", "", ())
    return Probe(
        kind=given[0],
        port=0 if given[0] is ProbeKind.EXEC else _port(asked, ports),
        path=path,
        host=host,
        headers=headers,
        initial_delay_seconds=probe.integer("initialDelaySeconds", 0, _LONGEST) or 0,
        period_seconds=_number(probe, "periodSeconds"),
        timeout_seconds=_number(probe, "timeoutSeconds"),
        success_threshold=_number(probe, "successThreshold"),
        failure_threshold=_number(probe, "failureThreshold"),
    )


def _number(probe: Reader, name: str) -> int:
    """A number of at least 1; 0 means the default, as it does to the API."""
    return probe.integer(name, 0, _LONGEST) or _DEFAULTS[name]


def _asks_the_pod(asked: Reader) -> None:
    if asked.text("host"):
        hint = "remove it; for another Host header, write it into httpHeaders"
        asked.fault("host", "is not supported yet: the pod itself is asked", hint)


def _port(asked: Reader, ports: tuple[ContainerPort, ...]) -> int:
    """The number of the port that is asked; a name is that of a port of the same container."""
    text = asked.text("port")
    if text.isdigit():
        asked.fault("port", f"{quoted(text)} is a string, and as such the name of a port", "remove the quotes")
    elif text:
        text = asked.text("port", names.port_name)
        found = [port.port for port in ports if port.name == text and port.protocol is Protocol.TCP]
        if found:
            return found[0]
        asked.fault(
            "port", f"this container has no TCP port named {quoted(text)}", "add it to ports, or write a number"
        )
    return asked.integer("port", 1, 65535) or 0


def _http(asked: Reader) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Path, Host header and the other headers."""
    if asked.choice("scheme", ("HTTP", "HTTPS"), "HTTP") == "HTTPS":
        asked.fault(
            "scheme", "HTTPS is not supported yet: the built-in responder speaks HTTP", "use HTTP, or tcpSocket"
        )
    path = asked.text("path", _path)
    headers = [
        (header.text("name", _header_name), header.text("value", _header_value))
        for header in asked.mappings("httpHeaders")
    ]
    host = next((value for name, value in headers if name.lower() == "host"), "")
    return (
        path if path.startswith("/") else f"/{path}",
        host,
        tuple((name, value) for name, value in headers if name.lower() != "host"),
    )


def _path(text: str) -> str:
    return "" if _PATH.fullmatch(text) else f"{quoted(text)} has signs that a path cannot have: encode them (%20)"


def _header_name(text: str) -> str:
    return "" if _HEADER.fullmatch(text) else f"{quoted(text)} is not the name of an HTTP header"


def _header_value(text: str) -> str:
    return "" if _VALUE.fullmatch(text) else f"{quoted(text)} is not the value of an HTTP header: printable ASCII alone"
