"""How an answer says who gave it, out of an expectation file."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from harness.manifests.faults import quoted
from harness.manifests.reader import Reader
from harness.model.observation import Ask, Find, Place, Speak
from harness.model.workload import Protocol

_PATH = re.compile(r"/[!-~]{0,500}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Identity:
    """What is said over TCP and over UDP; ``by_address`` when an answer tells an endpoint's address, not its name."""

    tcp: Ask
    udp: Ask
    by_address: bool = False

    def ask(self, protocol: Protocol) -> Ask:
        """What is said over this protocol."""
        return self.udp if protocol is Protocol.UDP else self.tcp

    @property
    def tells_client(self) -> bool:
        """Whether answers tell which client they saw."""
        return self.tcp.client is not None


def read_identity(reader: Reader, otherwise: Identity) -> Identity:
    """The identity that a mapping describes; ``otherwise`` when it is not there."""
    if not reader.there:
        return otherwise
    if reader.has("http") and reader.has("tcp"):
        reader.fault("tcp", "a server is asked over HTTP or by a line over TCP, not both", "remove one of the two")
    speak = Speak.LINE if reader.has("tcp") else Speak.HTTP
    request = _line(reader, "tcp") if speak is Speak.LINE else reader.text("http", _path) or "/hostname"
    name = _place(reader, speak)
    client = _place(reader.mapping("client"), speak) if reader.has("client") else None
    if client is not None and client.find is Find.BODY:
        reader.fault("client", "does not say where the client's address stands", "write header:, json: or regex:")
    tcp = Ask(speak, request, name, client)
    udp = replace(tcp, speak=Speak.DATAGRAM, request=_line(reader, "udp") or "hostname")
    return Identity(tcp, udp, reader.choice("tells", ("name", "address"), "name") == "address")


def _place(reader: Reader, speak: Speak) -> Place:
    written = [find for find in (Find.HEADER, Find.JSON, Find.REGEX) if reader.has(find)]
    if len(written) > 1:
        reader.fault(written[1], f"an answer says it in one place, and {written[0]} is written too", "remove one")
    if not written:
        return Place()
    find = written[0]
    if find is Find.HEADER and speak is not Speak.HTTP:
        reader.fault(find, "only HTTP has headers", "write json: or regex:")
    return Place(find, reader.text(find, {Find.HEADER: _header, Find.JSON: _fields, Find.REGEX: _regex}[find]))


def _line(reader: Reader, name: str) -> str:
    return reader.text(name, lambda text: "" if len(text) <= _LONGEST else f"is longer than {_LONGEST} characters")


def _path(text: str) -> str:
    return "" if _PATH.fullmatch(text) else f"{quoted(text)} is not a path such as /hostname"


def _header(text: str) -> str:
    return "" if _HEADER.fullmatch(text) else f"{quoted(text)} is not the name of a header"


def _fields(text: str) -> str:
    return "" if all(text.split(".")) else f"{quoted(text)} is not a path of fields such as pod.name"


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        return f"{quoted(text)} is not a regular expression: {error}"
    return "" if len(text) <= _LONGEST else f"is longer than {_LONGEST} characters"
