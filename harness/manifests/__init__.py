"""Kubernetes YAML text to the typed model; every fault at once, with file:line and field path.

Strict: a field that Kubernetes does not know is a fault, and so is one that would change what NodePort traffic does
and is not carried out here. Nothing is dropped in silence: kinds that are not acted on are listed as ignored.

Limits, each with a message of its own: 4 MiB a file, 400,000 values (aliases written out), 60 levels, 100 faults shown
of one file.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import Fault, ManifestError
from harness.manifests.document import documents
from harness.manifests.faults import Faults
from harness.manifests.objects import Objects
from harness.manifests.rules import claimed, twice
from harness.model.workload import Workload

__all__ = ["parse"]


def parse(sources: Sequence[tuple[str, bytes]]) -> Workload:
    """What a set of manifests asks for; ``sources`` are pairs of a file's name, as it is shown, and its content.

    Raises :class:`ManifestError` with every fault of every file.
    """
    objects = Objects()
    faults: list[Fault] = []
    seen = 0
    for file, data in sources:
        noted = Faults(file)
        for document in documents(data, noted):
            seen += 1
            objects.read(document, noted)
        faults += noted.all()
    faults += twice(objects.identities)
    faults += claimed(objects.claims)
    if not seen and not faults:
        faults = [Fault(file, 1, "", "there is no object in it", "is it the right file?") for file, _ in sources]
    if faults:
        raise ManifestError(faults)
    return Workload(
        pods=tuple(objects.pods),
        replica_sets=tuple(objects.replica_sets),
        services=tuple(objects.services),
        namespaces=tuple(objects.namespaces),
        ignored=tuple(objects.ignored),
        endpoint_slices=tuple(objects.endpoint_slices),
    )
