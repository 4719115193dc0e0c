"""The API's rules that need more than one object to be seen."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import Fault
from harness.model.workload import Service, Source, Workload


def across(workload: Workload) -> Iterator[Fault]:
    """Objects written twice, and nodePorts that two Services want."""
    yield from _twice(workload)
    yield from _node_ports(workload.services)


def _twice(workload: Workload) -> Iterator[Fault]:
    first: dict[tuple[str, str, str], Source] = {}
    objects = [("Pod", pod.namespace, pod.name, pod.source) for pod in workload.pods]
    objects += [(own.kind, own.namespace, own.name, own.source) for own in workload.replica_sets]
    objects += [("Service", service.namespace, service.name, service.source) for service in workload.services]
    for kind, namespace, name, source in objects:
        key = (kind, namespace, name)
        if key in first:
            reason = f"{kind} {namespace}/{name} is there twice"
            yield Fault(source.file, source.line, "metadata.name", reason, f"first at {first[key]}")
        first.setdefault(key, source)


def _node_ports(services: tuple[Service, ...]) -> Iterator[Fault]:
    """The allocator counts port numbers: two Services cannot share one, whatever the protocol (portallocator)."""
    holders: dict[int, Service] = {}
    for service in services:
        for number, port in enumerate(service.ports):
            if port.node_port is None:
                continue
            holder = holders.setdefault(port.node_port, service)
            if holder is not service:
                yield Fault(
                    service.source.file,
                    service.source.line,
                    f"spec.ports[{number}].nodePort",
                    f"{port.node_port}: provided port is already allocated, by {holder.namespace}/{holder.name}",
                    f"at {holder.source}",
                )
