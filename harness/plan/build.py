"""The entry to this room: manifests and nodes in, plan out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from harness.errors import PlanError
from harness.model.cluster import Node
from harness.model.plan import Plan
from harness.model.workload import Workload
from harness.plan import (
    addresses,
    cluster_addresses,
    endpoints,
    families,
    notes,
    pod_network,
    pods,
    ports,
    promises,
    readiness,
    schedule,
    wanted,
)
from harness.plan.selection import PodIndex, select_all
from harness.plan.services import planned_services


def build(
    workload: Workload,
    nodes: Sequence[Node],
    lab_uid: str,
    previous: Plan | None,
    leaving: Collection[str] = (),
) -> Plan:
    """What every node shall do for ``workload``, moving as little as possible of ``previous``.

    Pods of Deployments and ReplicaSets whose keys are in ``leaving`` do not stay: others take their places.

    Pure and deterministic: the same input gives the same plan, whatever the order of manifests or labels. Where
    pods go, see :mod:`harness.plan.schedule`; which addresses and nodePorts things get, :mod:`.addresses` and
    :mod:`.ports`. Services and pods are sorted by key, nodes stay in their order, endpoints follow their addresses.

    Raises :class:`PlanError` with every reason at once when these nodes cannot carry the workload.
    """
    problems: list[str] = []
    services = sorted(workload.services, key=ports.key)
    addresses.check_nodes(nodes, problems)
    mode = pod_network.choose(nodes, previous, problems)
    node_ports = ports.allocate(services, previous, problems)
    theirs = families.of_services(services, nodes, problems)
    own = cluster_addresses.allocate(services, theirs, previous, problems)
    cluster_addresses.check_external(services, problems)
    schedule.check_room(workload, len(nodes), problems)
    if problems:
        raise PlanError("\n".join(problems))
    dual = families.of_cluster(nodes) == families.BOTH
    planned_nodes = addresses.give_ranges(nodes, previous, dual=dual)
    asked = wanted.wanted_pods(workload, planned_nodes, lab_uid, previous, leaving)
    placed = pods.place(asked, planned_nodes, previous)
    present = [pod for pod, _, _ in placed]
    index = PodIndex(present)
    selected = select_all(services, index)
    listens = endpoints.listens(present, services, selected)
    checks = readiness.checks(services, selected, listens)
    planned_pods = pods.planned_pods(placed, planned_nodes, listens, checks, lab_uid, previous)
    asleep = PodIndex(wanted.asleep(workload))
    plan = Plan(
        lab_uid=lab_uid,
        generation=1,
        nodes=planned_nodes,
        pods=tuple(planned_pods.values()),
        services=planned_services(
            services, selected, planned_pods, node_ports, own, theirs, workload.endpoint_slices, index, asleep
        ),
        notes=(*notes.of_plan(workload.ignored, services, selected, theirs), *readiness.notes(present, checks)),
        pod_network=mode,
    )
    plan = replace(plan, notes=(*plan.notes, *promises.notes(plan)))
    return replace(plan, generation=_generation(plan, previous))


def _generation(plan: Plan, previous: Plan | None) -> int:
    """One more than before when a node has to learn of a change."""
    if previous is None:
        return 1
    return previous.generation + (_reaching_nodes(plan) != _reaching_nodes(previous))


def _reaching_nodes(plan: Plan) -> object:
    """The part of a plan that :mod:`harness.converge.hostvars` sends to nodes, in an order of its own."""
    return (
        plan.pod_network,
        sorted(
            (node.name, node.address, node.pod_range, node.backend, node.serving, node.address6) for node in plan.nodes
        ),
        [
            (
                pod.key,
                pod.uid,
                pod.node,
                pod.address,
                pod.address6,
                pod.listens,
                pod.termination_grace_period_seconds,
                pod.check,
                pod.restart_policy,
                pod.memory_limit,
            )
            for pod in plan.pods
        ],
        [replace(service, selector={}, explanation="") for service in plan.services],
    )
