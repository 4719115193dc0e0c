"""The fields of an expectation file, checked as manifests are: every unknown name, missing field and wrong type."""

from __future__ import annotations

from harness.manifests import fields
from harness.manifests.hints import nearest
from harness.manifests.schema import Language

TABLE = """
Expectation = identity:Identity objects:[string] services:[Service]
Identity = client:Place header http json regex tcp tells udp
Place = header json regex
Service = endpoints:[Endpoint] externalTrafficPolicy identity:Identity ipFamilies:[string] localhost name!
    namespace ports:[Port] sessionAffinity sourceIP spread weights:{int32}
Port = name nodePort:int32! port:int32 protocol
Endpoint = address answers name! node port:int32
"""
"""In the notation of :mod:`harness.manifests.fields`; what each means: docs/expect.md."""

TYPES = fields.types(TABLE)


def _unknown(name: str, types: tuple[str, ...], _path: str) -> str:
    """The nearest field known there, else who else has it, else all that are known."""
    known = TYPES[types[-1]]
    near = nearest(name, known)
    owners = [kind for kind, fields in TYPES.items() if name in fields and kind != "Place"]
    if near:
        return f"did you mean {near}?"
    return f"{owners[0]} has it" if owners else f"known here: {', '.join(sorted(known))}"


LANGUAGE = Language(TYPES, _unknown)
