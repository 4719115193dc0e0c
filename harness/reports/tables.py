"""Lists for people, in kubectl's manner: upper-case headings, three spaces between columns, no borders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.model.address import IPFamily, with_port
from harness.model.observation import CLIENTS, OUTSIDE, NodeFacts, Versions, pod_of
from harness.model.plan import Plan, PlannedPod, PlannedPort, PlannedService
from harness.model.run import Share

SHOWN_ENDPOINTS = 3
"""As ``kubectl get endpoints`` shows them."""
SHOWN_NODES = 6

UNHEARD = {"silent": "silence is promised", "closed": "nobody should answer"}
"""How failures are told that are as promised."""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns; an empty cell is shown as ``<none>``."""
    lines = [list(headings), *([cell or "<none>" for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def age(seconds: float) -> str:
    """A duration as kubectl shows it: ``45s``, ``5m12s``, ``3h4m``, ``2d5h``."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if whole < 120:
        return f"{whole}s"
    if whole < 3600:
        return f"{minutes}m{whole % 60}s" if whole % 60 and minutes < 10 else f"{minutes}m"
    if days == 0:
        return f"{hours}h{minutes}m" if minutes and hours < 8 else f"{hours}h"
    return f"{days}d{hours}h" if hours and days < 8 else f"{days}d"


def ports(service: PlannedService) -> str:
    """``80:30080/TCP,53:30053/UDP``, kubectl's PORT(S)."""
    return ",".join(
        f"{port.port}:{port.node_port}/{port.protocol}" if port.node_port else f"{port.port}/{port.protocol}"
        for port in service.ports
    )


def selector(service: PlannedService) -> str:
    """``app=web,tier=front``."""
    return ",".join(f"{key}={value}" for key, value in sorted(service.selector.items()))


def endpoints(service: PlannedService) -> str:
    """``10.244.0.2:80,10.244.1.2:80 + 4 more...``."""
    known = [with_port(endpoint.address, endpoint.port) for port in service.ports for endpoint in port.endpoints]
    more = len(known) - SHOWN_ENDPOINTS
    return ",".join(known[:SHOWN_ENDPOINTS]) + (f" + {more} more..." if more > 0 else "")


def made_of(facts: Sequence[NodeFacts]) -> Iterator[tuple[str, str]]:
    """Which nodes run on what: the names of nodes that are alike, and their system, kernel and programs in words."""
    alike: dict[Versions, list[str]] = {}
    for fact in facts:
        if fact.versions != Versions():
            alike.setdefault(fact.versions, []).append(fact.node)
    for one, names in alike.items():
        said = {"": one.os_image, "kernel ": one.kernel, "nftables ": one.nftables, "Python ": one.python}
        shown = (
            names if len(names) <= SHOWN_NODES else [*names[: SHOWN_NODES - 1], f"{len(names) - SHOWN_NODES + 1} more"]
        )
        yield ", ".join(shown), " · ".join(f"{what}{which}" for what, which in said.items() if which)


def short_names(pods: Sequence[str]) -> dict[str, str]:
    """A short name for each pod key: ``…x2x7k``, the end that tells siblings apart, else the name, cut when long."""
    ends = [pod.rpartition("-")[2] for pod in pods]
    return {
        pod: f"…{end}" if len(end) == 5 and ends.count(end) == 1 else _cut(pod)
        for pod, end in zip(pods, ends, strict=True)
    }


def _cut(pod: str) -> str:
    name = pod.rpartition("/")[2]
    return name if len(name) <= 26 else f"{name[:11]}…{name[-14:]}"


def is_plain(share: Share) -> bool:
    """Whether it is of the picture of every nodePort, from outside and from every node; pods are told apart."""
    return share.way == "nodePort" and not pod_of(share.vantage) and share.vantage != CLIENTS


def by_way(shares: Iterable[Share]) -> dict[tuple[str, str], list[Share]]:
    """Shares by Service and way: ``80/TCP, pods → nodePort 30008``."""
    groups: dict[tuple[str, str], list[Share]] = {}
    for share in shares:
        at = f" {share.port}" if share.way == "nodePort" else ""
        outside = share.vantage in (CLIENTS, OUTSIDE)
        asker = "pods" if pod_of(share.vantage) else share.vantage if outside else "nodes"
        words = f"{share.service_port}/{share.protocol}, {asker} → {share.way}{at}"
        groups.setdefault((share.service, words), []).append(share)
    return groups


def plan_table(plan: Plan) -> str:
    """A whole plan for a person: nodes with their pods, Services with their nodePorts and endpoints, notes."""
    parts = [f"Plan: generation {plan.generation}, {len(plan.pods)} pods on {len(plan.nodes)} nodes", _nodes(plan)]
    parts += [_service(plan, service) for service in plan.services]
    parts += [f"Note: {note.subject}: {note.text}" for note in plan.notes]
    return "\n\n".join(parts)


def _nodes(plan: Plan) -> str:
    rows = []
    for node in plan.nodes:
        pods = [pod for pod in plan.pods if pod.node == node.name]
        for number, pod in enumerate(pods or [None]):
            name, address = (node.name, _both(node.address, node.address6)) if number == 0 else (" ", " ")
            rows.append((name, address, *_pod(pod)))
    return table(("NODE", "ADDRESS", "POD", "POD ADDRESS", "LISTENS", "IMAGES (NOT RUN)"), rows)


def _pod(pod: PlannedPod | None) -> tuple[str, str, str, str]:
    if pod is None:
        return "", "", "", ""
    listens = ",".join(f"{listen.port}/{listen.protocol}" for listen in pod.listens)
    return pod.key, _both(pod.address, pod.address6), listens, ",".join(pod.images)


def _both(address: str, address6: str) -> str:
    return f"{address},{address6}" if address6 else address


def _service(plan: Plan, service: PlannedService) -> str:
    lines = [f"Service {service.key}  {service.type}  {ports(service)}  selector {selector(service) or '<none>'}"]
    lines += [f"  {line}" for port in service.ports for line in _port(plan, service, port)]
    if service.explanation:
        lines.append(f"  ! {service.explanation}")
    return "\n".join(lines)


def _port(plan: Plan, service: PlannedService, port: PlannedPort) -> Iterable[str]:
    shown = [f"{with_port(endpoint.address, endpoint.port)} ({endpoint.node})" for endpoint in port.endpoints]
    if port.node_port is not None:
        at = " ".join(
            with_port(address, port.node_port)
            for node in plan.nodes[:SHOWN_ENDPOINTS]
            for one, address in ((IPFamily.V4, node.address), (IPFamily.V6, node.address6))
            if one in service.ip_families
        )
        more = len(plan.nodes) - SHOWN_ENDPOINTS
        verb = "answers" if port.endpoints else "is refused"
        yield f"{port.port}/{port.protocol} {verb} at {at}" + (f" and {more} nodes more" if more > 0 else "")
    more = len(shown) - 2 * SHOWN_ENDPOINTS
    known = ", ".join(shown[: 2 * SHOWN_ENDPOINTS]) + (f" and {more} more" if more > 0 else "")
    yield f"  endpoints: {known or 'none'}"
