"""Case folders: manifests and nodes in, plans or their refusal out. The format: tests/cases/plan/README.md.

``HARNESS_UPDATE_CASES=1`` writes what comes out as the new expectation; read the difference before you keep it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import manifests, plan
from harness.errors import PlanError
from harness.model.cluster import Node
from harness.model.plan import Plan, PlannedPod, PlannedPort

ROOT = Path(__file__).parents[3]
CASES = sorted(path for path in (ROOT / "tests" / "cases" / "plan").iterdir() if path.is_dir())


def nodes_of(given: list[str | dict[str, str]]) -> list[Node]:
    """Nodes by name, with the addresses that ``harness up`` gives, or ``name: address``."""
    found = []
    for place, each in enumerate(given):
        named = each if isinstance(each, dict) else {each: f"192.168.56.{11 + place}"}
        found += [Node(name, address) for name, address in named.items()]
    return found


def sources_of(step: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """The examples that a step names, then what it writes itself."""
    found = [(name, (ROOT / "examples" / name).read_bytes()) for name in step.get("examples", ())]
    return [*found, ("case.yaml", step["manifests"].encode())] if "manifests" in step else found


def shown(planned: Plan) -> dict[str, object]:
    """Everything in a plan, briefly enough to be read by a reviewer."""
    return {
        "generation": planned.generation,
        "nodes": {node.name: f"{node.address} {node.pod_range}" for node in planned.nodes},
        "pods": {pod.key: pod_words(pod) for pod in planned.pods},
        "services": {
            service.key: {
                "type": service.type.value,
                "selector": service.selector,
                "ports": [port_words(port) for port in service.ports],
                **({"explanation": service.explanation} if service.explanation else {}),
            }
            for service in planned.services
        },
        **({"notes": [f"{note.subject}: {note.text}" for note in planned.notes]} if planned.notes else {}),
    }


def pod_words(pod: PlannedPod) -> dict[str, object]:
    listens = " ".join(f"{listen.port}/{listen.protocol}" for listen in pod.listens)
    words: dict[str, object] = {
        "at": f"{pod.node} {pod.address}",
        "uid": pod.uid,
        "labels": pod.labels,
        "images": list(pod.images),
        "listens": listens,
    }
    if pod.owner:
        words["owner"] = f"{pod.owner} {pod.revision}"
    if pod.termination_grace_period_seconds != 30:
        words["grace"] = pod.termination_grace_period_seconds
    return words


def port_words(port: PlannedPort) -> dict[str, object]:
    return {
        "port": f"{port.name or '-'} {port.port}/{port.protocol} to {port.target_port} nodePort {port.node_port}",
        "endpoints": [f"{each.pod} {each.node} {each.address}:{each.port}" for each in port.endpoints],
    }


def outcome_of(case: Mapping[str, Any]) -> list[dict[str, object]]:
    """What comes of each step; each starts from the plan of the one before, unless that was refused."""
    outcome: list[dict[str, object]] = []
    previous: Plan | None = None
    for step in case["steps"]:
        workload = manifests.parse(sources_of(step))
        try:
            previous = plan.build(workload, nodes_of(step["nodes"]), case.get("lab", "lab-a"), previous)
        except PlanError as error:
            outcome.append({"refused": str(error).splitlines()})
        else:
            outcome.append(shown(previous))
    return outcome


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path) -> None:
    outcome = outcome_of(yaml.safe_load((case / "input.yaml").read_text(encoding="utf-8")))
    expected = case / "expected.yaml"
    if os.environ.get("HARNESS_UPDATE_CASES") == "1":
        expected.write_text(yaml.safe_dump(outcome, sort_keys=False, width=118, allow_unicode=True), encoding="utf-8")
    assert outcome == yaml.safe_load(expected.read_text(encoding="utf-8"))
