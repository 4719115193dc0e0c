"""Pods with everything they need on their node: place, address, ports, identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from harness.model.plan import Check, Listen, Plan, PlannedNode, PlannedPod
from harness.plan import families, names, schedule
from harness.plan.wanted import WantedPod

Placed = tuple[WantedPod, str, str]
"""A pod, its node and its address."""


LEAST_MEMORY = 32 * 2**20
"""Bytes that a pod may take at least: limits are written for other programs than our responder, which takes 14 MB."""


def place(pods: Sequence[WantedPod], nodes: Sequence[PlannedNode], previous: Plan | None) -> list[Placed]:
    """The pods with their places, in the order of their addresses."""
    node_of = schedule.place(pods, nodes)
    address_of = schedule.address(pods, node_of, nodes, previous)
    placed = [(pod, node_of[pod.key], address_of[pod.key]) for pod in pods]
    return sorted(placed, key=lambda each: IPv4Address(each[2]))


def planned_pods(
    placed: Sequence[Placed],
    nodes: Sequence[PlannedNode],
    listens: Mapping[str, tuple[Listen, ...]],
    checks: Mapping[str, Check],
    lab_uid: str,
    previous: Plan | None,
) -> dict[str, PlannedPod]:
    """The pods by key, sorted."""
    pods = {each[0].key: each for each in placed}
    ranges = {node.name: node.pod_range6 for node in nodes if node.pod_range6}
    return {
        key: replace(_planned_pod(pods[key], ranges, listens[key], lab_uid, previous), check=checks.get(key))
        for key in sorted(pods)
    }


def _planned_pod(
    placed: Placed, ranges: Mapping[str, str], listens: tuple[Listen, ...], lab_uid: str, previous: Plan | None
) -> PlannedPod:
    pod, node, address = placed
    return PlannedPod(
        namespace=pod.namespace,
        name=pod.name,
        uid=_uid(placed, listens, lab_uid, previous),
        node=node,
        address=address,
        labels=dict(sorted(pod.labels.items())),
        images=tuple(container.image for container in pod.spec.containers),
        listens=listens,
        owner=pod.owner,
        revision=pod.template_hash,
        termination_grace_period_seconds=pod.spec.termination_grace_period_seconds,
        restart_policy=pod.spec.restart_policy,
        min_ready_seconds=pod.min_ready_seconds,
        memory_limit=max(LEAST_MEMORY, limit) if (limit := pod.spec.memory_limit) else None,
        address6=families.address_of(address, ranges[node]) if node in ranges else "",
    )


def _uid(placed: Placed, listens: tuple[Listen, ...], lab_uid: str, previous: Plan | None) -> str:
    """The uid from before, as long as it is the same pod in the same place; else a new one."""
    pod, node, address = placed
    before = pod.before
    if before and previous and previous.lab_uid == lab_uid:
        old = (before.node, before.address, before.revision, before.listens)
        if old == (node, address, pod.template_hash, listens):
            return before.uid
    born = previous.generation if previous else 0
    return names.pod_uid(lab_uid, pod.key, (node, address), pod.template_hash, listens, born)
