"""What pods listen on, and which of them serve each Service port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.address import IPFamily, family, rank
from harness.model.plan import Endpoint, Listen, PlannedPod, PlannedPort
from harness.model.workload import EndpointSlice, Protocol, Service, ServicePort
from harness.plan.ports import NodePorts, key
from harness.plan.selection import Selected
from harness.plan.wanted import WantedPod


def listens(
    pods: Sequence[WantedPod], services: Sequence[Service], selected: Selected
) -> dict[str, tuple[Listen, ...]]:
    """The ports that each pod's responder opens, by the pod's key.

    These are the ports its containers declare. A declaration is only informational in Kubernetes, though: nginx
    listens on 80 whether it is written or not. So a pod that declares none opens the numeric targetPorts of
    the Services that select it. For the same reason it opens the port that its readinessProbe asks.
    """
    opened = {pod.key: {Listen(port.port, port.protocol) for port in pod.spec.ports} for pod in pods}
    silent = {pod.key for pod in pods if not pod.spec.ports}
    for service in services:
        asked = {Listen(port.target_port, port.protocol) for port in service.ports if isinstance(port.target_port, int)}
        for pod in selected[key(service)]:
            if pod.key in silent:
                opened[pod.key] |= asked
    for pod in pods:
        if pod.spec.readiness is not None and pod.spec.readiness.port:
            opened[pod.key].add(Listen(pod.spec.readiness.port, Protocol.TCP))
    return {
        pod: tuple(sorted(ports, key=lambda listen: (listen.port, listen.protocol))) for pod, ports in opened.items()
    }


def target_of(port: ServicePort, pod: WantedPod) -> int | None:
    """The pod's port that a Service port leads to; ``None`` when the pod has none of that name and protocol."""
    if isinstance(port.target_port, int):
        return port.target_port
    return pod.port_named(port.target_port, port.protocol)


def planned_ports(
    service: Service,
    families: Sequence[IPFamily],
    selected: Sequence[WantedPod],
    planned: Mapping[str, PlannedPod],
    node_ports: NodePorts,
    slices: Sequence[EndpointSlice] = (),
) -> tuple[PlannedPort, ...]:
    """The ports of one Service with its nodePorts and endpoints, in the order of the manifest.

    ``slices`` are those that name this Service; they count when it has no selector (as a controller owns the slices
    of the others).
    """
    return tuple(
        PlannedPort(
            name=port.name,
            protocol=port.protocol,
            port=port.port,
            target_port=port.target_port,
            node_port=node_ports.get((key(service), place)),
            endpoints=(
                _endpoints(service, families, port, selected, planned)
                if service.selector
                else given(port, slices, families)
            ),
        )
        for place, port in enumerate(service.ports)
    )


def given(port: ServicePort, slices: Sequence[EndpointSlice], families: Sequence[IPFamily]) -> tuple[Endpoint, ...]:
    """The endpoints that the user gives to a Service port: those of ports with its name and protocol, each once.

    Those of a family that the Service has not do not count, as in kube-proxy.
    """
    found: dict[tuple[str, int], Endpoint] = {}
    for one in slices:
        for theirs in one.ports:
            if (theirs.name, theirs.protocol) == (port.name, port.protocol):
                for each in (end for end in one.endpoints if family(end.address) in families):
                    made = Endpoint("", each.node, each.address, theirs.port, terminating=each.terminating)
                    found.setdefault((each.address, theirs.port), made)
    return tuple(found[place] for place in sorted(found, key=lambda place: (rank(place[0]), place[1])))


def _endpoints(
    service: Service,
    families: Sequence[IPFamily],
    port: ServicePort,
    selected: Sequence[WantedPod],
    planned: Mapping[str, PlannedPod],
) -> tuple[Endpoint, ...]:
    found = []
    always = service.publish_not_ready_addresses
    for each in sorted(families):
        for pod in selected:
            target, place = target_of(port, pod), planned[pod.key]
            if target is not None:
                address = place.address if each is IPFamily.V4 else place.address6
                found.append(Endpoint(pod.key, place.node, address, target, always))
    return tuple(found)
