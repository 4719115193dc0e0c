"""Services with their nodePorts, endpoints and explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.plan import PlannedPod, PlannedService
from harness.model.workload import EndpointSlice, Service
from harness.plan import endpoints, ports
from harness.plan.cluster_addresses import ClusterAddresses
from harness.plan.explain import explain
from harness.plan.families import Families
from harness.plan.selection import PodIndex, Selected


def planned_services(
    services: Sequence[Service],
    selected: Selected,
    pods: Mapping[str, PlannedPod],
    node_ports: ports.NodePorts,
    cluster_addresses: ClusterAddresses,
    families: Families,
    slices: Sequence[EndpointSlice],
    index: PodIndex,
    asleep: PodIndex,
) -> tuple[PlannedService, ...]:
    """The Services in the order given; ``index`` and ``asleep`` are what explanations look for pods in."""
    planned = []
    given: dict[str, list[EndpointSlice]] = {}
    for one in slices:
        given.setdefault(f"{one.namespace}/{one.service}", []).append(one)
    for service in services:
        chosen = selected[ports.key(service)]
        theirs, its_slices = families[ports.key(service)], given.get(ports.key(service), ())
        its_ports = endpoints.planned_ports(service, theirs, chosen, pods, node_ports, its_slices)
        planned.append(
            PlannedService(
                namespace=service.namespace,
                name=service.name,
                type=service.type,
                selector=dict(sorted(service.selector.items())),
                ports=its_ports,
                explanation=explain(service, its_ports, chosen, index, asleep),
                cluster_addresses=() if service.headless else cluster_addresses[ports.key(service)],
                external_addresses=service.external_ips,
                affinity_seconds=service.affinity_seconds,
                external_traffic_policy=service.external_traffic_policy,
                internal_traffic_policy=service.internal_traffic_policy,
                allowed_sources=service.allowed_sources,
                health_check_node_port=service.health_check_node_port,
                other_proxy=service.other_proxy,
                ip_families=theirs,
            )
        )
    return tuple(planned)
