"""The steps of a change: case folders (tests/cases/steps/README.md), and rules that hold for every change."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import manifests, plan
from harness.model.plan import Endpoint, Plan, PlannedService
from harness.model.workload import Strategy, StrategyType, Workload
from harness.plan.waves import Change, fence_posts, of_change
from tests.unit.plan.sample import LAB, deployment, nodes, pod, service, spec

CASES = sorted(path for path in Path(__file__).parents[2].joinpath("cases", "steps").iterdir() if path.is_dir())


def steps_of(case: Mapping[str, Any]) -> tuple[Plan, tuple[Plan, ...]]:
    cluster = nodes(len(case["nodes"]))
    before = plan.build(manifests.parse([("before.yaml", case["before"].encode())]), cluster, LAB, None)
    wanted = manifests.parse([("after.yaml", case.get("after", case["before"]).encode())])
    leaving = {each.key for each in before.pods if each.node in case.get("leaving", ())}
    cordoned = [replace(each, unschedulable=each.name in case.get("leaving", ())) for each in before.nodes]
    after = plan.build(wanted, cluster, LAB, replace(before, nodes=tuple(cordoned)), leaving)
    return before, plan.steps(before, after, wanted, certain=case.get("certain", True))


def shown(was: Plan, now: Plan) -> dict[str, object]:
    """What a step changes, briefly."""
    old, new = ({f"{each.key} {each.uid[:4]} on {each.node}" for each in p.pods} for p in (was, now))
    pods = {name: sorted(these) for name, these in (("end", old - new), ("start", new - old)) if these}
    return {"generation": now.generation, **pods, **endpoint_words(was, now), **service_words(was, now)}


def endpoint_words(was: Plan, now: Plan) -> dict[str, list[str]]:
    old, new = dict(endpoints(was)), dict(endpoints(now))
    entered = [p for p in new if p not in old or (old[p].terminating and not new[p].terminating)]
    ending = [p for p in new if new[p].terminating and not (p in old and old[p].terminating)]
    words = {
        "in": [p for p in entered if p not in ending],
        "terminating": ending,
        "out": [p for p in old if p not in new],
    }
    return {name: sorted(these) for name, these in words.items() if these}


def endpoints(planned: Plan) -> Iterator[tuple[str, Endpoint]]:
    for each in planned.services:
        for port in each.ports:
            for end in port.endpoints:
                yield f"{each.name} {end.pod} {end.address}:{end.port}", end


def service_words(was: Plan, now: Plan) -> dict[str, list[str]]:
    def plain(each: PlannedService) -> object:
        ports = [(port.name, port.protocol, port.port, port.target_port, port.node_port) for port in each.ports]
        return (each.type, each.selector, ports)

    old, new = ({each.name: plain(each) for each in p.services} for p in (was, now))
    words = {
        "gone": [name for name in old if name not in new],
        "new": [name for name in new if name not in old],
        "other": [name for name in new if name in old and new[name] != old[name]],
    }
    return {name: these for name, these in words.items() if these}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path) -> None:
    asked = yaml.safe_load((case / "input.yaml").read_text())
    before, steps = steps_of(asked)
    found = [shown(was, now) for was, now in pairwise((before, *steps))]
    expected = case / "expected.yaml"
    if os.environ.get("HARNESS_UPDATE_CASES"):
        expected.write_text(yaml.safe_dump(found, sort_keys=False, width=120))
    assert found == yaml.safe_load(expected.read_text())


@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.sampled_from(["0", "1", "3", "25%", "50%", "100%"]),
    st.sampled_from(["0", "1", "2", "25%", "100%"]),
    st.sampled_from(list(StrategyType)),
)
def test_a_roll_out_keeps_within_its_bounds(
    was: int, shall: int, surge: str, unavailable: str, kind: StrategyType
) -> None:
    strategy = Strategy(kind, surge, unavailable)
    old, new = deployment("web", was), deployment("web", shall, template=spec(80, image="httpd"))
    before = plan.build(Workload(replica_sets=(old,)), nodes(3), LAB, None)
    after = plan.build(Workload(replica_sets=(new,)), nodes(3), LAB, before)
    change = Change(0, before.pods, after.pods)
    most, fewest = (shall + fence_posts(strategy, shall)[0], shall - fence_posts(strategy, shall)[1])
    serving = was
    left = {each.uid for each in before.pods}
    for wave in of_change(change, strategy):
        serving += len(wave.start)
        assert serving <= max(was, most)
        assert kind is StrategyType.ROLLING_UPDATE or not (wave.start and left), "Recreate: all old ones go first"
        serving -= len(wave.leave)
        left -= {each.uid for each in wave.leave}
        assert kind is StrategyType.RECREATE or serving >= min(was, fewest)
    assert serving == shall
    assert not left


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b"]), st.booleans()), min_size=2, max_size=2))
def test_every_step_leads_to_pods_that_run_and_no_pod_ends_that_serves(sides: list[tuple[int, str, bool]]) -> None:
    def workload(replicas: int, image: str, solo: bool) -> Workload:
        alone = (pod("solo", {"app": "web"}, spec(80, image=image)),) if solo else ()
        web = deployment("web", replicas, template=spec(80, image=image))
        return Workload(pods=alone, replica_sets=(web,), services=(service("web"),))

    first, second = (workload(*side) for side in sides)
    before = plan.build(first, nodes(2), LAB, None)
    after = plan.build(second, nodes(2), LAB, before)
    steps = plan.steps(before, after, second)
    for was, now in pairwise((before, *steps)):
        running = {each.key: each.uid for each in now.pods}
        for place, end in endpoints(now):
            assert end.terminating or end.pod in running, place
        ended = {each.key for each in was.pods if running.get(each.key) != each.uid}
        serving = {end.pod for _, end in endpoints(was) if not end.terminating}
        assert not ended & serving
        assert len({each.address for each in now.pods}) == len(now.pods)
        assert now.generation - was.generation == (now.services != was.services) or now is steps[-1]
    assert (steps[-1].pods, steps[-1].services) == (after.pods, after.services)


def test_nothing_to_lose_is_one_step() -> None:
    web = Workload(replica_sets=(deployment("web", 2),))
    first = plan.build(web, nodes(2), LAB, None)
    assert plan.steps(None, first, web) == (first,)
    assert plan.steps(first, first, web) == (first,)
    more = plan.build(web, nodes(3), LAB, first)
    assert plan.steps(first, more, web) == (more,)
