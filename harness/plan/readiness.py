"""How nodes find out which pods are ready: a readinessProbe, or a TCP connect for pods without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.model.plan import Check, Listen, Note
from harness.model.workload import Probe, ProbeKind, Protocol, Service
from harness.plan.endpoints import target_of
from harness.plan.ports import key
from harness.plan.selection import Selected
from harness.plan.wanted import WantedPod

NOT_CARRIED_OUT = (ProbeKind.EXEC, ProbeKind.GRPC)


def checks(
    services: Sequence[Service], selected: Selected, listens: Mapping[str, tuple[Listen, ...]]
) -> dict[str, Check]:
    """The check of every pod that a Service selects and that can be asked, by the pod's key.

    A pod without a readinessProbe is asked for a connection every second, on the first TCP port that a Service leads
    to: it stands for the kubelet, which learns from the container runtime within about a second that a container
    died. One that has no such port, or does not open it, is not asked, and counts as ready.
    """
    targets: dict[str, list[int]] = {}
    probes: dict[str, Probe | None] = {}
    for service in services:
        for pod in selected[key(service)]:
            probes[pod.key] = pod.spec.readiness
            targets.setdefault(pod.key, []).extend(_open(service, pod, listens[pod.key]))
    found = {pod: _check(probe, targets[pod]) for pod, probe in probes.items()}
    return {pod: check for pod, check in found.items() if check is not None}


def _open(service: Service, pod: WantedPod, listens: Sequence[Listen]) -> Iterator[int]:
    for port in service.ports:
        target = target_of(port, pod)
        if port.protocol is Protocol.TCP and target is not None and Listen(target, Protocol.TCP) in listens:
            yield target


def _check(probe: Probe | None, targets: Sequence[int]) -> Check | None:
    if probe is None:
        return Check(targets[0]) if targets else None
    port = probe.port or next(iter(targets), 0)
    if not port:
        return None
    return Check(
        port,
        probe.path if probe.kind is ProbeKind.HTTP_GET else "",
        probe.host,
        probe.headers,
        probe.initial_delay_seconds,
        probe.period_seconds,
        probe.timeout_seconds,
        probe.success_threshold,
        probe.failure_threshold,
    )


def notes(pods: Sequence[WantedPod], asked: Mapping[str, Check]) -> tuple[Note, ...]:
    """What stands in for probes that need a container to run in, once for each template."""
    found = {}
    for pod in pods:
        probe = pod.spec.readiness
        if probe is not None and probe.kind in NOT_CARRIED_OUT:
            check = asked.get(pod.key)
            instead = f"a TCP connect to port {check.port} stands in for it" if check else "its pods count as ready"
            subject = f"{pod.owner.partition('/')[0]} {pod.namespace}/{pod.owner.partition('/')[2]}"
            text = f"readinessProbe {probe.kind} is not carried out, as images are not run: {instead}"
            found[subject if pod.owner else f"Pod {pod.key}"] = text
    return tuple(Note(subject, text) for subject, text in found.items())
