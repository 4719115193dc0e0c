"""What a person should know of a plan although nothing in it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.address import IPFamilyPolicy
from harness.model.plan import Note
from harness.model.workload import Ignored, Service, ServicePort, ServiceType
from harness.plan.endpoints import target_of
from harness.plan.families import Families
from harness.plan.ports import key
from harness.plan.selection import Selected
from harness.plan.wanted import WantedPod
from harness.plan.words import declared, first_few, some, template, titles


def of_plan(
    ignored: Sequence[Ignored], services: Sequence[Service], selected: Selected, families: Families
) -> tuple[Note, ...]:
    """What was read but is not acted on, then what there is to say of each Service."""
    found = [
        Note(f"{each.kind} {each.namespace}/{each.name}", f"ignored: {each.reason} ({each.source})") for each in ignored
    ]
    for service in services:
        texts = _texts(service, selected[key(service)], len(families[key(service)]))
        found += [Note(f"Service {key(service)}", text) for text in texts]
    return tuple(found)


def _texts(service: Service, selected: Sequence[WantedPod], families: int) -> Iterator[str]:
    if service.type is ServiceType.CLUSTER_IP:
        yield "its type is ClusterIP: it has no nodePort, so there is nothing to prove on the nodes"
    if service.other_proxy:
        yield f"its label {service.other_proxy} leaves it to another proxy: nodes forward nothing, and must not answer"
    if service.headless:
        yield "it is headless: there is no address of its own, and nodes forward nothing"
    if service.ip_family_policy is IPFamilyPolicy.PREFER_DUAL_STACK and families == 1:
        yield "ipFamilyPolicy PreferDualStack: pods have IPv4 alone, so it gets IPv4, as on any cluster of one family"
    if not service.selector:
        yield "without a selector, its endpoints are those of the EndpointSlices that name it"
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
