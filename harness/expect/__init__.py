"""Expectation files: what machines promise that this project did not set up. Pure; the format: docs/expect.md."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.errors import ManifestError
from harness.expect.exported import by_key, read_exported
from harness.expect.identity import Identity, read_identity
from harness.expect.language import LANGUAGE
from harness.expect.plan import as_plan
from harness.expect.services import Known, read_service, read_unnamed
from harness.manifests import schema
from harness.manifests.document import documents
from harness.manifests.faults import Faults
from harness.manifests.reader import Reader
from harness.model.expectation import Expectation, PromisedService
from harness.model.observation import Ask, Find, Place, Speak

__all__ = ["as_plan", "objects_of", "parse"]

Source = tuple[str, bytes]

NETEXEC = Identity(Ask(client=Place(Find.HEADER, "Nodeport-Client")), Ask(Speak.DATAGRAM, "hostname"))
"""Where a file says nothing of it: agnhost's *netexec*; our own responder also tells the client's address."""


def objects_of(source: Source) -> tuple[str, ...]:
    """The files of exported objects that an expectation file names, relative to it.

    Raises :class:`ManifestError` when it is no such file at all.
    """
    return _top(source)[0].strings("objects")


def parse(source: Source, objects: Sequence[Source], nodes: Collection[str]) -> Expectation:
    """What is promised of the machines called ``nodes``; files come as their shown name and content.

    Raises :class:`ManifestError` with every fault of every file.
    """
    top, noted = _top(source)
    others = [Faults(file) for file, _ in objects]
    found = by_key([read_exported(*each, other) for each, other in zip(objects, others, strict=True)])
    identity = read_identity(top.mapping("identity"), NETEXEC)
    readers = top.mappings("services")
    services = [read_service(reader, Known(nodes, identity, found)) for reader in readers]
    _twice(services, readers)
    named = {service.key for service in services}
    services += [read_unnamed(each, identity, noted) for key, each in found.items() if key not in named]
    if not services:
        top.fault("services", "nothing is promised", "name a Service, or a file of exported ones in objects")
    faults = [fault for each in (noted, *others) for fault in each.all()]
    if faults:
        raise ManifestError(faults)
    return Expectation(tuple(services))


def _top(source: Source) -> tuple[Reader, Faults]:
    """The one document of an expectation file, its form checked."""
    file, data = source
    noted = Faults(file)
    found = list(documents(data, noted))
    if len(found) != 1 and not noted.found:
        noted.add(1, "", f"an expectation file is one document, this has {len(found)}", "exported objects: objects:")
    if found and found[0].tag != "map":
        noted.add(found[0].line, "", "an expectation file is a mapping", "it begins with services:")
    if noted.found:
        raise ManifestError(noted.all())
    schema.check(found[0], "Expectation", noted, LANGUAGE)
    return Reader(found[0], "", found[0].line, noted), noted


def _twice(services: Sequence[PromisedService], readers: Sequence[Reader]) -> None:
    """A Service, or a nodePort, that is promised more than once."""
    keys: dict[str, int] = {}
    claimed: dict[tuple[int, str], str] = {}
    for service, reader in zip(services, readers, strict=True):
        first = keys.setdefault(service.key, reader.line)
        if first != reader.line:
            reader.fault("name", f"{service.key} is in line {first} too", "remove one")
            continue
        for port in service.ports:
            holder = claimed.setdefault((port.node_port, port.protocol), service.key)
            if holder != service.key:
                reader.fault("ports", f"nodePort {port.node_port}/{port.protocol} is that of {holder} too")
