"""Every check there is: its id, what it means, where the promise comes from, and what it needs. Pure.

Ids are stable: they are ``Verdict.check``, the names in reports, and what ``--focus`` and ``--skip`` look for.
``docs/conformance.md`` says for each of upstream's tests which of these covers it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``upstream`` are numbers of upstream's tests (rows of ``docs/conformance.md``) that promise the same.

    ``needs`` says for a person what there has to be; ``feature`` is what a forwarder has to declare, empty for nothing.
    """

    id: str
    meaning: str
    source: str
    needs: str
    upstream: tuple[int, ...] = ()
    feature: str = ""


CHECKS = (
    Check(
        "answers",
        "every attempt is answered, at the first SYN",
        "upstream service.go, networking.go",
        "a Service with endpoints",
        (2, 3, 7, 11, 12, 13, 46, 51, 52, 54, 55, 57, 58, 64),
    ),
    Check(
        "responders",
        "only the Service's own pods answer, each with the uid that it was given",
        "KEP-752 (EndpointSlice)",
        "a Service with endpoints",
        (2, 8, 33, 34, 35, 61, 62),
    ),
    Check(
        "coverage",
        "every pod of the Service answers",
        "upstream networking.go",
        "a Service with endpoints",
        (2, 3, 13, 38, 40, 46, 51, 52, 54, 55, 57, 58, 61, 62),
    ),
    Check(
        "hairpin",
        "a pod of the Service that asks the Service is answered by itself too",
        "upstream service.go",
        "SSH to the pod's node, and a pod that is an endpoint",
        (6, 57, 58),
    ),
    Check(
        "spread",
        "every pod gets its fair share of new connections",
        "kube-proxy: numgen random; docs/decisions/0002",
        "two endpoints or more",
        (11,),
    ),
    Check(
        "turns",
        "endpoints are picked each in its turn, not by chance",
        "an expectation file: spread: round-robin",
        "--expect, a client outside, two endpoints or more, and nobody else who connects meanwhile",
    ),
    Check(
        "closed",
        "nobody answers at an address or port where nothing was promised",
        "kube-proxy --nodeport-addresses and its service-proxy-name; an expectation file: localhost: closed",
        "addresses that serve no nodePorts, a Service left to another proxy, or --expect with localhost: closed",
        (30, 31, 81),
    ),
    Check(
        "affinity",
        "a client stays with one pod",
        "core/v1 sessionAffinity: ClientIP",
        "sessionAffinity: ClientIP",
        (24, 26, 27, 29, 66, 67),
        "affinity",
    ),
    Check(
        "clients",
        "many clients with affinity spread over the pods",
        "core/v1 sessionAffinity: ClientIP; docs/decisions/0013",
        "sessionAffinity: ClientIP, two endpoints, and a client with many addresses",
        (27, 28),
        "affinity",
    ),
    Check(
        "source",
        "pods see the client's own address",
        "core/v1 externalTrafficPolicy: Local",
        "externalTrafficPolicy: Local, and a client whose address is known",
        (5, 85),
        "client-address",
    ),
    Check(
        "refused",
        "what has no endpoints is refused actively, not swallowed",
        "upstream service.go; kube-proxy no-endpoint-services",
        "a Service without endpoints",
        (32,),
    ),
    Check(
        "dropped",
        "a node without a local pod, or one that must not let us in, stays silent",
        "core/v1 externalTrafficPolicy: Local; nodeport.harness/allowed-sources",
        "externalTrafficPolicy: Local, or an allow list and a client whose address is known",
        (34, 35, 39, 41, 86, 88, 95),
    ),
    Check(
        "health-check",
        "the health check port tells how many endpoints a node has: kube-proxy's code, headers and JSON",
        "pkg/proxy/healthcheck/service_health.go",
        "nodeport.harness/health-check-node-port",
        (37, 41, 86, 88),
    ),
    Check(
        "endpoints",
        "the Service's selector finds pods",
        "docs/decisions/0004",
        "a Service with a nodePort",
    ),
    Check(
        "sample",
        "not every way inside the cluster was asked; --focus asks more",
        "docs/decisions/0012",
        "pods",
    ),
    Check(
        "node-state",
        "a node says of itself that all is as it should be",
        "role forwarder",
        "nodes over SSH",
        (50, 71),
    ),
    Check(
        "rig",
        "the rig itself works; never a word about the data plane",
        "harness",
        "nothing",
    ),
)  # fmt: skip

IDS = tuple(check.id for check in CHECKS)
