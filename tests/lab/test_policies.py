"""Affinity, traffic policies and allow lists on real nodes: kept, and each seen broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import probes
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Job, Outcome, Target
from harness.model.plan import Plan
from harness.model.progress import silent
from harness.model.verdict import Status
from harness.model.workload import Protocol
from harness.session import run, survey
from harness.session.lab import Lab
from harness.support import clock
from harness.verdicts import Selection
from tests.lab.faults import Injection, injected, on
from tests.lab.labs import with_applied

pytestmark = pytest.mark.lab

POLICIES = Path(__file__).parents[2] / "examples" / "policies.yaml"
BY_CHANCE = """nft -f - <<END
table ip stranger {{
  chain before {{
    type nat hook prerouting priority -105
    tcp dport 30010 dnat ip to numgen random mod 2 map {{ 0 : {first}, 1 : {second} }}:80
  }}
  chain after {{
    type nat hook postrouting priority 90
    meta l4proto tcp ct original proto-dst 30010 masquerade
  }}
}}
END"""
ALL_TO_ONE = """nft -f - <<END
table ip stranger {{
  chain before {{
    type nat hook prerouting priority -105
    tcp dport 30010 dnat ip to {first}:80
  }}
  chain after {{
    type nat hook postrouting priority 90
    meta l4proto tcp ct original proto-dst 30010 masquerade
  }}
}}
END"""
MOST_SHUT_OUT = """nft -f - <<END
table ip stranger {{
  chain before {{
    type filter hook prerouting priority -150
    ip saddr 198.18.0.0/15 tcp dport 30010 drop
  }}
}}
END"""
HIDING = """nft -f - <<END
table ip stranger {{
  chain after {{
    type nat hook postrouting priority 90
    meta l4proto tcp ct original proto-dst 30011 masquerade
  }}
}}
END"""
REFUSING = """nft -f - <<END
table ip stranger {{
  chain before {{
    type filter hook prerouting priority -150
    tcp dport 30011 reject with tcp reset
  }}
}}
END"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with with_applied(tmp_path_factory.mktemp("policies"), POLICIES) as lab:
        yield lab


def test_policies_that_are_kept_pass(cluster: Cluster, plan: Plan) -> None:
    found = survey.survey(cluster, plan, silent)
    assert [str(verdict) for verdict in found.verdicts if verdict.status is not Status.PASS] == []
    checks = {verdict.check for verdict in found.verdicts}
    assert {"affinity", "clients", "dropped", "source", "coverage"} <= checks
    assert {share.promise for share in found.shares if share.service == "default/few"} >= {"silent", "spread"}


@pytest.mark.parametrize(
    "flushed", ["chain ip nodeport hide-own", "chain ip nodeport hide-outsiders", "set ip nodeport hidden-own"]
)
def test_what_no_probe_can_see_the_node_itself_tells(flushed: str, lab: Lab, cluster: Cluster, plan: Plan) -> None:
    """Nodes of one address are answered without being masqueraded, so the loss of these rules breaks no probe."""
    mends = f"/usr/bin/python3 -E /usr/local/lib/nodeport/nodeportd settle {plan.generation}"
    with injected(cluster, Injection("n1", f"nft flush {flushed}", "true", mends)):
        found = survey.survey(cluster, plan, silent)
    told = [each.summary for each in found.verdicts if each.check == "node-state" and each.status is Status.FAIL]
    assert len(told) == 1, told
    assert "was altered behind nodeportd's back" in told[0]
    assert flushed.rpartition(" ")[2] in told[0]


@pytest.mark.parametrize(
    ("script", "node", "check", "cause"),
    [
        pytest.param(BY_CHANCE, "n2", "affinity", "affinity-broken", id="a client is sent to any pod"),
        pytest.param(ALL_TO_ONE, "n3", "clients", "clients-huddled", id="all clients are sent to one pod"),
        pytest.param(MOST_SHUT_OUT, "n1", "answers", "clients-shut-out", id="most clients are shut out"),
        pytest.param(HIDING, "n1", "source", "source-hidden", id="a client is hidden from local pods"),
        pytest.param(REFUSING, "n3", "dropped", "not-dropped", id="a node without a local pod refuses"),
    ],
)
def test_a_policy_that_is_not_kept_is_found(
    script: str, node: str, check: str, cause: str, cluster: Cluster, plan: Plan
) -> None:
    first, second = (pod.address for pod in plan.pods)
    breaks = script.format(first=first, second=second)
    with injected(cluster, Injection(node, breaks, "nft list table ip stranger", "nft delete table ip stranger")):
        found = survey.survey(cluster, plan, silent)
    failed = [verdict for verdict in found.verdicts if verdict.status is Status.FAIL]
    assert any(verdict.check == check and verdict.node == node for verdict in failed), failed
    told = {(diagnosis.cause, diagnosis.node) for diagnosis in found.diagnoses}
    assert (cause, node) in told, told
    again = survey.survey(cluster, plan, silent, Selection(("outside → |clients → ", "node-state")))
    assert [str(verdict) for verdict in again.verdicts if verdict.status is not Status.PASS] == []


SHORT = 8
CLIENT, OTHERS = "198.19.0.1", tuple(f"198.19.1.{number}" for number in range(1, 41))


def remembered(cluster: Cluster) -> dict[str, int]:
    """The clients that n1 remembers, and in how many seconds it forgets each."""
    shown = json.loads(on(cluster, "n1", "nft -j list map ip nodeport clients"))
    (found,) = [entry["map"] for entry in shown["nftables"] if "map" in entry]
    ends = [element.get("elem", element) for element, _ in found.get("elem", [])]
    return {end["val"]["concat"][0]: end["expires"] for end in ends}


def test_affinity_lasts_as_long_as_a_client_comes_back_in_time(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
    timeout = f"sessionAffinity: ClientIP\n  sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {SHORT}}}}}"
    short = tmp_path / "short.yaml"
    short.write_text(POLICIES.read_text().replace("sessionAffinity: ClientIP", timeout))
    run.apply_only(lab, [str(short)], silent)
    target = Target("n1", cluster.nodes[0].address, 30010, Protocol.TCP)

    def nearly_forgotten() -> None:
        if remembered(cluster)[CLIENT] > SHORT // 2:
            raise clock.NotYet("it is still fresh")

    def forgotten() -> None:
        if left := remembered(cluster).keys() & set(OTHERS):
            raise clock.NotYet(f"{len(left)} are remembered")

    with probes.open_probers(cluster, (OUTSIDE,)) as probers:

        def pods_of(clients: tuple[str, ...]) -> dict[str, str]:
            attempts = probers.ask({OUTSIDE: [Job(OUTSIDE, target, len(clients), sources=clients)]}).attempts
            return {attempt.source: attempt.responder for attempt in attempts if attempt.outcome is Outcome.OK}

        first = pods_of((CLIENT,))
        for _ in range(3):
            clock.until(nearly_forgotten, what="half of the client's time to pass", within=2 * SHORT)
            assert pods_of((CLIENT,)) == first, "a client that comes back in time stays"
            assert remembered(cluster)[CLIENT] > SHORT // 2, "its time begins anew"
        before = pods_of(OTHERS)
        assert pods_of(OTHERS) == before
        clock.until(forgotten, what="clients to be forgotten", within=3 * SHORT)
        after = pods_of(OTHERS)
        assert after.keys() == before.keys() == set(OTHERS)
        assert after != before, "forty clients that were forgotten are dealt anew; all alike has a chance of 1e-12"
