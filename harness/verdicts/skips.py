"""What cannot be judged, said aloud: a promise that nobody looked at is a SKIP with its reason, never just missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.model.forwarder import FORWARDERS
from harness.model.plan import Plan
from harness.model.verdict import Status, Verdict
from harness.plan.promises import has, unkept
from harness.verdicts.inside import count

CHECKS = {
    "affinity": ("affinity",),
    "client-address": ("source", "dropped"),
    "allowed-sources": ("dropped",),
    "udp": ("answers",),
    "external-addresses": ("answers",),
    "internal-policy": ("dropped",),
    "ipv6": ("answers",),
}
"""The checks that a feature which a forwarder has not takes away. Other features are of things no check asks for."""


def one_client(plan: Plan) -> tuple[Verdict, ...]:
    """What is left out where the outside client has one address only: whether clients spread."""
    told = (
        "one client address outside, so nobody knows whether clients spread; "
        "a network whose every address is the client's: nodeport_client_range in the inventory"
    )
    return tuple(
        Verdict("clients", f"clients → every node, {service.key}", Status.SKIP, told, service=service.key)
        for service in plan.forwarded
        if service.affinity_seconds and any(port.node_port is not None for port in service.ports)
    )


def sampled(plan: Plan, looked_at: int, seed: int) -> tuple[Verdict, ...]:
    """One SKIP that says how many cells inside were left to chance, if any was."""
    total = count(plan)
    if looked_at >= total:
        return ()
    told = f"{looked_at} of {total} cells inside the cluster were drawn (seed {seed}); --focus 'pod/' asks more"
    return (Verdict("sample", "pods and Services' own addresses", Status.SKIP, told),)


def left_out(plan: Plan, vantages: Sequence[str], addresses: Mapping[str, str]) -> tuple[Verdict, ...]:
    """One SKIP for each vantage point and Service port, and each forwarder's lack, that ``expectations`` leaves out."""
    return (*clients_left_out(plan, vantages, addresses), *_of_forwarders(plan), *_cluster_ips(plan), *_external(plan))


def _of_forwarders(plan: Plan) -> Iterator[Verdict]:
    """One for each check that the forwarder of a node makes impossible."""
    for each in unkept(plan):
        for check in CHECKS.get(each.feature, ()):
            name, backend = each.node.name, each.node.backend
            told = f"forwarder {backend} of {name} has no {each.feature}: {each.why}"
            evidence = {"forwarder": backend, "feature": each.feature}
            subject = f"{each.service} on {name}"
            yield Verdict(check, subject, Status.SKIP, told, node=name, service=each.service, evidence=evidence)


def clients_left_out(plan: Plan, vantages: Sequence[str], addresses: Mapping[str, str]) -> Iterator[Verdict]:
    """One SKIP for each vantage point whose address is not known, and Service port with an allow list."""
    known = {node.name for node in plan.nodes} | addresses.keys()
    return (
        _unknown_client(vantage, service.key, f"{port.port} on {port.node_port}/{port.protocol}", networks)
        for service in plan.forwarded
        for port in service.ports
        if port.node_port is not None and service.allowed_sources
        for networks in [", ".join(service.allowed_sources)]
        for vantage in vantages
        if vantage not in known
    )


def _cluster_ips(plan: Plan) -> Iterator[Verdict]:
    for node in plan.nodes:
        if not has(node, "cluster-addresses") and any(service.cluster_addresses for service in plan.forwarded):
            lacks = FORWARDERS[node.backend].lacks["cluster-addresses"]
            told = f"forwarder {node.backend} of {node.name} has no cluster-addresses: {lacks}"
            evidence = {"forwarder": node.backend, "feature": "cluster-addresses"}
            yield Verdict("answers", f"every ClusterIP on {node.name}", Status.SKIP, told, node.name, evidence=evidence)


def _external(plan: Plan) -> Iterator[Verdict]:
    for service in plan.forwarded:
        if service.external_addresses:
            shown = ", ".join(service.external_addresses)
            told = "asked from pods only: neither the outside client nor nodes are promised a route to it"
            subject = f"outside and nodes → externalIP {shown}, {service.key}"
            yield Verdict("answers", subject, Status.SKIP, told, service=service.key)


def _unknown_client(vantage: str, service: str, port: str, networks: str) -> Verdict:
    told = (
        f"only {networks} is let in, and the address of this client is not known "
        "(say it in the inventory: nodeport_client_address)"
    )
    subject = f"{vantage} → every node, {service} {port}"
    return Verdict("dropped", subject, Status.SKIP, told, vantage=vantage, service=service)
