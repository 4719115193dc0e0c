"""What cannot be judged, said aloud: a promise that nobody looked at is a SKIP with its reason, never just missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.plan import Plan
from harness.model.verdict import Status, Verdict


def left_out(plan: Plan, vantages: Sequence[str], addresses: Mapping[str, str]) -> tuple[Verdict, ...]:
    """One SKIP for each vantage point and Service port that ``expectations`` leaves out."""
    known = {node.name for node in plan.nodes} | addresses.keys()
    return tuple(
        _unknown_client(vantage, service.key, f"{port.port} on {port.node_port}/{port.protocol}", networks)
        for service in plan.services
        for port in service.ports
        if port.node_port is not None and service.allowed_sources
        for networks in [", ".join(service.allowed_sources)]
        for vantage in vantages
        if vantage not in known
    )


def _unknown_client(vantage: str, service: str, port: str, networks: str) -> Verdict:
    told = (
        f"only {networks} is let in, and the address of this client is not known "
        "(say it in the inventory: nodeport_client_address)"
    )
    subject = f"{vantage} → every node, {service} {port}"
    return Verdict("dropped", subject, Status.SKIP, told, vantage=vantage, service=service)
