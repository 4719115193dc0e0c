"""Many clients: how many are wanted, in which turn they ask, and when too few pods are no luck."""

from __future__ import annotations

import math
import random

import pytest

from harness import verdicts
from harness.model.observation import CLIENTS, Attempt, Outcome
from harness.model.verdict import Status
from harness.verdicts.clients import ALONE, CELLS, EACH, LUCK, MOST, clients, fewest_pods, wanted
from harness.verdicts.skips import one_client
from tests.unit.verdicts.test_cases import plan_of

CASE = {"nodes": ["n1", "n2", "n3"], "pods": {"web-0": "n1", "web-1": "n2", "web-2": "n3"}, "affinity_seconds": 60}
POOL = [f"198.18.{n // 200}.{n % 200}" for n in range(2 * MOST)]


@pytest.mark.parametrize("pods", [2, 3, 5, 10, 50, 253])
def test_so_many_clients_rule_luck_out(pods: int) -> None:
    n = wanted(pods)
    least = fewest_pods(pods, n)
    assert 10 <= n <= MOST
    assert 1 < least <= pods
    assert math.comb(pods, least - 1) * ((least - 1) / pods) ** n <= LUCK, "fewer have a chance below LUCK"
    if n < MOST:
        assert least == pods, "every pod has to have a client"


def test_healthy_forwarders_of_any_size_pass() -> None:
    drawn = random.Random(1)  # noqa: S311 - no secret
    for pods in (2, 3, 8, 20, 100):
        for _ in range(300):
            seen = {drawn.randrange(pods) for _ in range(wanted(pods))}
            assert len(seen) >= fewest_pods(pods, wanted(pods))


def test_every_client_is_dealt_its_pod_before_any_asks_again_and_a_second_sample_has_others() -> None:
    (cell, *_) = clients(plan_of(CASE), POOL)
    asked: list[str] = []
    tallies = verdicts.Tallies()
    while needs := verdicts.next_round((cell,), tallies):
        job = needs[0].job
        turns = [job.sources[n % len(job.sources)] for n in range(job.attempts)]
        asked += turns
        pods = cell.endpoints[:1]  # everybody is sent to one pod
        attempts = [
            Attempt(CLIENTS, job.target, Outcome.OK, 1, 1.0, 2.0, pods[0].hostname, pods[0].uid, source=source)
            for source in turns
        ]
        tallies = verdicts.add(tallies, needs, attempts)
    each = wanted(3)
    first, second = asked[:ALONE], asked[ALONE:]
    assert len(set(first)) == ALONE, "so many clients at one pod are enough for an alarm"
    assert len(set(second[:each])) == each
    assert len(second) == EACH * each
    assert not set(first) & set(second)
    found = {verdict.check: verdict for verdict in verdicts.judge((cell,), tallies)}
    assert found["clients"].status is Status.FAIL
    assert found["affinity"].status is Status.PASS


def test_cells_are_bounded_and_need_addresses_affinity_and_two_pods() -> None:
    many = plan_of({**CASE, "nodes": [f"n{n}" for n in range(1, 40)]})
    assert len(clients(many, POOL, seed=5)) == CELLS
    assert clients(many, []) == ()
    assert clients(plan_of({**CASE, "affinity_seconds": 0}), POOL) == ()
    assert clients(plan_of({**CASE, "pods": {"web-0": "n1"}}), POOL) == ()
    assert clients(plan_of({**CASE, "allowed_sources": ["10.0.0.0/8"]}), POOL) == ()


def test_a_client_with_one_address_is_said_to_prove_nothing_of_many() -> None:
    (skip,) = one_client(plan_of(CASE))
    assert (skip.check, skip.status) == ("clients", Status.SKIP)
    assert "nodeport_client_range" in skip.summary
    assert one_client(plan_of({**CASE, "affinity_seconds": 0})) == ()


def test_its_checks_are_in_the_catalogue() -> None:
    ids = {check.id for check in verdicts.CHECKS}
    names = [name for cell in clients(plan_of(CASE), POOL) for name in verdicts.names_of(cell)]
    assert {name.partition(":")[0] for name in names} <= ids
