"""What a person should know of a plan although nothing in it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.plan import Note
from harness.model.workload import Ignored, Service, ServicePort, ServiceType
from harness.plan.endpoints import target_of
from harness.plan.ports import key
from harness.plan.wanted import WantedPod
from harness.plan.words import declared, first_few, some, template, titles


def of_ignored(objects: Sequence[Ignored]) -> list[Note]:
    """One note for each object that was read but is not acted on."""
    return [
        Note(f"{each.kind} {each.namespace}/{each.name}", f"ignored: {each.reason} ({each.source})") for each in objects
    ]


def of_service(service: Service, selected: Sequence[WantedPod]) -> list[Note]:
    """The notes of one Service."""
    subject = f"Service {key(service)}"
    return [Note(subject, text) for text in _texts(service, selected)]


def _texts(service: Service, selected: Sequence[WantedPod]) -> Iterator[str]:
    if service.type is ServiceType.CLUSTER_IP:
        yield "its type is ClusterIP: it has no nodePort, so there is nothing to prove on the nodes"
    if not service.selector:
        yield "it has no selector, so no pod becomes its endpoint"
    for port in service.ports:
        if isinstance(port.target_port, str):
            yield from _left_out(port, port.target_port, selected)
        else:
            yield from _undeclared(port, port.target_port, selected)


def _left_out(port: ServicePort, name: str, selected: Sequence[WantedPod]) -> Iterator[str]:
    """Pods that lack a named targetPort, while others have it."""
    lacking = [pod for pod in selected if target_of(port, pod) is None]
    if lacking and len(lacking) < len(selected):
        yield (
            f"{some(len(lacking), 'pod')} of {len(selected)} ({first_few(titles(lacking))}) left out of port "
            f"{_port_title(port)}: no {port.protocol} container port named `{name}`"
        )


def _undeclared(port: ServicePort, target: int, selected: Sequence[WantedPod]) -> Iterator[str]:
    """Pods that declare ports, but not the one the Service leads to."""
    closed = [pod for pod in selected if pod.spec.ports and not _declares(pod, target, port)]
    if closed:
        theirs = declared(known for pod in closed for known in pod.spec.ports)
        yield (
            f"port {_port_title(port)} leads to targetPort {target}/{port.protocol}, which {some(len(closed), 'pod')} "
            f"({first_few(titles(closed))}) do{'es' if len(closed) == 1 else ''} not declare ({theirs} declared): "
            f"connections will most likely be refused; write the port they listen on as targetPort, or add "
            f"`containerPort: {target}` to {template(closed)}"
        )


def _declares(pod: WantedPod, number: int, port: ServicePort) -> bool:
    return any(known.port == number and known.protocol is port.protocol for known in pod.spec.ports)


def _port_title(port: ServicePort) -> str:
    return f"{port.name} ({port.port}/{port.protocol})" if port.name else f"{port.port}/{port.protocol}"
