"""What nodes say of themselves, judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.address import IPFamily
from harness.model.forwarder import FORWARDERS
from harness.model.observation import Connections, Facts6, NodeFacts, Unready
from harness.model.verdict import Status, Verdict

CHECK = "node-state"


def judge_nodes(facts: Sequence[NodeFacts], generation: int | None, unprobed: Mapping[str, int]) -> list[Verdict]:
    """One verdict for each node; ``unprobed`` says how many cells could not be asked from it.

    A node that SSH does not reach is an ERROR: that says nothing about its data plane.
    """
    return [_verdict(node, generation, unprobed.get(node.node, 0)) for node in facts]


def faults_of(facts: NodeFacts, generation: int | None) -> list[str]:
    """What is wrong with a node that answered, each in a few words; ``generation`` is the one it should run."""
    faults = []
    if not facts.forwarder_running:
        faults.append("nodeportd does not run")
    if facts.forwarder_error:
        faults.append(f"nodeportd reports: {facts.forwarder_error}")
    if generation is not None and facts.generation != generation:
        has = "no generation at all" if facts.generation is None else f"generation {facts.generation}"
        faults.append(f"it runs {has}, {generation} is wanted")
    if not facts.table_present:
        faults.append(f"its {FORWARDERS[facts.backend].holder} is gone")
    elif not facts.masquerade_present:
        faults.append("its table has no masquerade rule")
    faults += [f"traces of the forwarder {name} are left" for name in facts.leftovers]
    if not facts.ip_forward:
        faults.append("net.ipv4.ip_forward is 0")
    faults += [f"route missing: {route}" for route in facts.missing_routes]
    if facts.network_drift:
        faults.append(f"its pod network was altered, to mend it: {'; '.join(facts.network_drift[:3])}")
    if facts.six is not None:
        faults += _faults6(facts.six)
    if facts.connections.full:
        faults.append(f"its table of connections is full: {held(facts.connections)}")
    faults += [f"pod not running: {pod}" for pod in facts.pods_not_running]
    faults += [f"holds {_named(each)} for unready {since(each)}: {each.why}" for each in facts.unready]
    return faults


def _faults6(six: Facts6) -> list[str]:
    """What is wrong with the half of IPv6."""
    faults = [] if six.table_present else ["its nftables table of IPv6 is gone"]
    if six.table_present and not six.masquerade_present:
        faults.append("its table of IPv6 has no masquerade rule")
    if not six.forwards:
        faults.append("net.ipv6.conf.all.forwarding is 0")
    return faults + [f"route missing: {route}" for route in six.missing_routes]


def _named(unready: Unready) -> str:
    return unready.pod if unready.family is IPFamily.V4 else f"{unready.pod} ({unready.family})"


def held(connections: Connections) -> str:
    """``3072 of 3072, 41 packets dropped``."""
    lost = "" if connections.lost is None else f", {connections.lately} packets dropped"
    return f"{connections.count} of {connections.room}{lost}"


def since(unready: Unready) -> str:
    """``since 12 s``."""
    return f"since {unready.seconds:.0f} s"


def _verdict(facts: NodeFacts, generation: int | None, unprobed: int) -> Verdict:
    evidence: dict[str, object] = {
        "generation": facts.generation,
        "wanted_generation": generation,
        "kernel": facts.versions.kernel,
        "foreign_drops": list(facts.foreign_drops),
    }
    if not facts.reachable:
        told = f"could not be asked over SSH: {facts.error or 'no answer'}"
        told += f"; {unprobed} cells could not be asked from it" if unprobed else ""
        return Verdict(CHECK, facts.node, Status.ERROR, told, node=facts.node, evidence=evidence)
    note = f" (note: rules of others that drop: {'; '.join(facts.foreign_drops)})" if facts.foreign_drops else ""
    faults = faults_of(facts, generation)
    if facts.table_present and facts.drift:
        faults.append(
            f"its {FORWARDERS[facts.backend].holder} was altered behind nodeportd's back: {', '.join(facts.drift[:3])}"
        )
    if faults:
        return Verdict(CHECK, facts.node, Status.FAIL, "; ".join(faults) + note, node=facts.node, evidence=evidence)
    if facts.busy:
        told = f"whether its {FORWARDERS[facts.backend].holder} is as nodeportd left it is not known: {facts.busy}"
        return Verdict(CHECK, facts.node, Status.INCONCLUSIVE, told + note, node=facts.node, evidence=evidence)
    running = "" if facts.generation is None else f" at generation {facts.generation}"
    summary = f"nodeportd runs{running}, {FORWARDERS[facts.backend].holder}, routes and pods are there{note}"
    return Verdict(CHECK, facts.node, Status.PASS, summary, node=facts.node, evidence=evidence)
