"""The variables for Ansible: exactly the document of docs/architecture.md."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from harness import plan
from harness.converge import hostvars
from harness.model.plan import Plan
from harness.model.workload import Probe, ProbeKind, Protocol, RestartPolicy, ServicePort, ServiceType, Workload
from tests.unit.plan.sample import LAB, deployment, nodes, pod, service, spec

ROLES = Path(__file__).parents[3] / "playbooks" / "roles"


@pytest.fixture
def planned() -> Plan:
    probe = Probe(ProbeKind.HTTP_GET, 80, "/readyz", "web", (("X-Probe", "1"),), initial_delay_seconds=3,
                  timeout_seconds=2)  # fmt: skip
    template = replace(
        spec(80), termination_grace_period_seconds=5, readiness=probe, restart_policy=RestartPolicy.ON_FAILURE,
        memory_limit=2**26,
    )  # fmt: skip
    workload = Workload(
        pods=(pod("solo", {"app": "solo"}, spec()),),
        replica_sets=(deployment("web", 2, template=template),),
        services=(
            service("web", ServicePort(80, 80, node_port=30008)),
            service("dns", ServicePort(53, 53, Protocol.UDP, "dns", 30053), selector={"app": "nobody"}),
            service("inner", kind=ServiceType.CLUSTER_IP),
        ),
    )
    return replace(plan.build(workload, nodes(3), LAB, None), generation=7)


def test_the_document_is_that_of_the_architecture(planned: Plan) -> None:
    web = [each for each in planned.pods if each.owner]
    on_first = next(each for each in planned.pods if each.node == "n2")
    web_endpoints = [
        {"address": each.address, "port": 80, "node": each.node, "pod": each.key, "always": False, "terminating": False}
        for each in sorted(web, key=lambda each: each.address)
    ]
    plain = {
        "external_addresses": [],
        "affinity_seconds": 0,
        "external_traffic_policy": "Cluster",
        "internal_traffic_policy": "Cluster",
        "allowed_sources": [],
        "health_check_node_port": 0,
    }
    own = {each.name: list(each.cluster_addresses) for each in planned.services}
    services = [
        {
            "namespace": "default",
            "name": "dns",
            "cluster_addresses": own["dns"],
            **plain,
            "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "node_port": 30053, "endpoints": []}],
        },
        {
            "namespace": "default",
            "name": "inner",
            "cluster_addresses": own["inner"],
            **plain,
            "ports": [{"name": "", "protocol": "TCP", "port": 80, "node_port": 0, "endpoints": []}],
        },
        {
            "namespace": "default",
            "name": "web",
            "cluster_addresses": own["web"],
            **plain,
            "ports": [{"name": "", "protocol": "TCP", "port": 80, "node_port": 30008, "endpoints": web_endpoints}],
        },
    ]
    assert {each.address for each in web} == {"10.244.1.2", "10.244.2.2"}
    document = hostvars.render(planned)
    assert list(document) == ["nodeport_generation", "nodeport_nodes"]
    assert document["nodeport_generation"] == 7
    of_nodes = document["nodeport_nodes"]
    assert isinstance(of_nodes, dict)
    assert list(of_nodes) == ["n1", "n2", "n3"]
    assert of_nodes["n2"] == {
        "network": {
            "node": "n2",
            "mode": "routes",
            "address": "192.168.56.12",
            "pod_range": "10.244.1.0/24",
            "gateway": "10.244.1.1",
            "cluster_range": "10.244.0.0/16",
            "routes": [
                {"to": "10.244.0.0/24", "via": "192.168.56.11"},
                {"to": "10.244.2.0/24", "via": "192.168.56.13"},
                {"to": "10.96.0.0/12", "via": "10.244.1.1"},
            ],
        },
        "pods": [
            {
                "name": on_first.name,
                "namespace": "default",
                "uid": on_first.uid,
                "address": "10.244.1.2",
                "listens": [{"port": 80, "protocol": "TCP"}],
                "termination_grace_period_seconds": 5,
                "restart_policy": "OnFailure",
                "memory_limit": 67108864,
            }
        ],
        "forwarder": {
            "version": 2,
            "generation": 7,
            "node": "n2",
            "backend": "nftables",
            "addresses": ["192.168.56.12"],
            "cluster_ranges": ["10.244.0.0/16"],
            "checks": [
                {
                    "pod": each.key,
                    "address": each.address,
                    "kind": "http",
                    "port": 80,
                    "path": "/readyz",
                    "host": "web",
                    "headers": [{"name": "X-Probe", "value": "1"}],
                    "scheme": "HTTP",
                    "initial_delay_seconds": 3,
                    "period_seconds": 10,
                    "timeout_seconds": 2,
                    "success_threshold": 1,
                    "failure_threshold": 3,
                }
                for each in planned.pods
                if each.owner
            ],
            "services": services,
        },
    }


def test_every_pod_is_on_one_node_and_every_node_forwards_the_same(planned: Plan) -> None:
    parts = hostvars.render(planned)["nodeport_nodes"]
    assert isinstance(parts, dict)
    assert sorted(each["name"] for part in parts.values() for each in part["pods"]) == sorted(
        each.name for each in planned.pods
    )
    assert len({json.dumps(part["forwarder"]["services"]) for part in parts.values()}) == 1


@pytest.mark.parametrize(
    ("role", "variable", "part"),
    [
        ("pod_network", "pod_network_config", "network"),
        ("workload", "workload_pods", "pods"),
        ("forwarder", "forwarder_state", "forwarder"),
    ],
)
def test_every_role_takes_its_part(planned: Plan, role: str, variable: str, part: str) -> None:
    specs = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    takes = ArgumentSpecValidator(specs["argument_specs"]["main"]["options"])
    parts = hostvars.render(planned)["nodeport_nodes"]
    assert isinstance(parts, dict)
    for of_node in parts.values():
        assert takes.validate({variable: of_node[part]}).error_messages == []


def test_only_plain_values_that_json_and_yaml_give_back(planned: Plan) -> None:
    document = hostvars.render(planned)
    assert json.loads(json.dumps(document)) == document
    text = yaml.safe_dump(document, sort_keys=False)
    assert yaml.safe_load(text) == document
    assert "&id" not in text, "no part is shared, so that a person reads no YAML aliases"


def test_the_order_of_nodes_changes_nothing_that_a_node_gets(planned: Plan) -> None:
    turned = replace(planned, nodes=tuple(reversed(planned.nodes)))
    assert hostvars.render(turned) == hostvars.render(planned)


def test_a_step_has_what_differs_for_each_node_and_nothing_else(planned: Plan) -> None:
    without = [each for each in planned.pods if each.node != "n1"]
    ended = replace(planned, pods=tuple(without))
    moved = replace(ended, generation=8, services=planned.services[:1])
    first, second, third = hostvars.render_steps(planned, [ended, moved, moved])
    assert (first["number"], first["of"], third["number"]) == (1, 3, 3)
    assert first["nodes"] == {"n1": {"pods": []}, "n2": {}, "n3": {}}, "traffic stays, so no node's forwarder is told"
    whole = hostvars.render(moved)["nodeport_nodes"]
    assert isinstance(whole, dict)
    assert second["nodes"] == {name: {"forwarder": whole[name]["forwarder"]} for name in ("n1", "n2", "n3")}
    assert third["nodes"] == {"n1": {}, "n2": {}, "n3": {}}
    nodes_of = hostvars.render(planned)["nodeport_nodes"]
    assert isinstance(nodes_of, dict)
    unknown = hostvars.render_steps(planned, [ended, moved], known=False)
    assert unknown[0]["nodes"] == {
        name: {"pods": [pod for pod in parts["pods"] if name != "n1"], "forwarder": parts["forwarder"]}
        for name, parts in nodes_of.items()
    }
    assert unknown[1] == hostvars.render_steps(ended, [moved])[0] | {"number": 2, "of": 2}


def test_a_step_waits_for_the_pods_that_enter_as_long_as_the_slowest_of_them_says(planned: Plan) -> None:
    patient = replace(planned, pods=tuple(replace(pod, min_ready_seconds=7) for pod in planned.pods), generation=8)
    nobody = tuple(
        replace(each, ports=tuple(replace(port, endpoints=()) for port in each.ports)) for each in planned.services
    )
    before = replace(patient, services=nobody, generation=7)
    (enter,) = hostvars.render_steps(before, [patient])
    (leave,) = hostvars.render_steps(patient, [replace(before, generation=9)])
    entering, leaving = enter["nodes"], leave["nodes"]
    assert isinstance(entering, dict)
    assert isinstance(leaving, dict)
    assert {node["min_ready_seconds"] for node in entering.values()} == {7}
    assert not any("min_ready_seconds" in node for node in leaving.values())
