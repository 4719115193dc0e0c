"""What cannot be judged, said aloud: a promise that nobody looked at is a SKIP with its reason, never just missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.model.plan import Plan
from harness.model.verdict import Status, Verdict
from harness.plan.promises import unkept

CHECKS = {
    "affinity": ("affinity",),
    "client-address": ("source", "dropped"),
    "allowed-sources": ("dropped",),
    "udp": ("answers",),
}
"""The checks that a feature which a forwarder has not takes away. Other features are of things no check asks for."""


def left_out(plan: Plan, vantages: Sequence[str], addresses: Mapping[str, str]) -> tuple[Verdict, ...]:
    """One SKIP for each vantage point and Service port, and each forwarder's lack, that ``expectations`` leaves out."""
    return (*_of_clients(plan, vantages, addresses), *_of_forwarders(plan))


def _of_forwarders(plan: Plan) -> Iterator[Verdict]:
    """One for each check that the forwarder of a node makes impossible."""
    for each in unkept(plan):
        for check in CHECKS.get(each.feature, ()):
            name, backend = each.node.name, each.node.backend
            told = f"forwarder {backend} of {name} has no {each.feature}: {each.why}"
            evidence = {"forwarder": backend, "feature": each.feature}
            subject = f"{each.service} on {name}"
            yield Verdict(check, subject, Status.SKIP, told, node=name, service=each.service, evidence=evidence)


def _of_clients(plan: Plan, vantages: Sequence[str], addresses: Mapping[str, str]) -> Iterator[Verdict]:
    known = {node.name for node in plan.nodes} | addresses.keys()
    return (
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
