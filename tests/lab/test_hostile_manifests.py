"""Whatever manifests say: refused for a person, or a state that nodes take and a table that the kernel takes.

The whole way without nodes: parse, plan, variables, role's specification, nodeportd's reader, ``nft --check``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nodeportd import ruleset, state
from nodeportd.endpoints import effective

from harness import manifests, plan
from harness.converge import hostvars
from harness.errors import ManifestError, PlanError
from harness.model.cluster import Node
from harness.support import netns, process

pytestmark = pytest.mark.lab

NODES = [Node("n1", "192.168.56.11"), Node("n2", "192.168.56.12")]
SPECS = Path(__file__).parents[2] / "playbooks/roles/forwarder/meta/argument_specs.yml"

_ODD = st.sampled_from([
    "web", "a" * 63, "a" * 64, "a-0", "0", "Web", "we_b", "web.x", "-web", "", " ", "web;flush ruleset", "$(reboot)",
    "`id`", "{ drop }", "web\nadd table ip x", 'web"', "web'", "\u2028", "true", "1e3", "../../etc", "{{ 7 * 7 }}",
])  # fmt: skip
_NAMES = st.one_of(st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True), _ODD)
_PORTS = st.sampled_from([1, 80, 80, 65535, 65536, 0, -1, 30000, 32767, "80", "http", "80; drop", 8080.5, None])
_NODE_PORTS = st.sampled_from([None, None, None, 30000, 30001, 32767, 29999, 32768, 0, "30000", "; drop"])
_ADDRESSES = st.sampled_from(["203.0.113.7", "203.0.113.8", "10.96.0.9", "127.0.0.1", "::1", "0.0.0.0/0", "1.2.3.4; x"])
_PORT = st.fixed_dictionaries(
    {"port": _PORTS},
    optional={
        "name": _NAMES,
        "protocol": st.sampled_from(["TCP", "UDP", "SCTP", "tcp; drop"]),
        "nodePort": _NODE_PORTS,
        "targetPort": _PORTS,
    },
)
_SPEC = st.fixed_dictionaries(
    {"ports": st.lists(_PORT, min_size=1, max_size=3), "selector": st.just({"app": "web"})},
    optional={
        "type": st.sampled_from(["NodePort", "NodePort", "ClusterIP", "ExternalName", "Nodeport"]),
        "clusterIP": st.sampled_from(["10.96.0.5", "10.96.0.6", "None", "", "10.0.0.1", "fd00::1", "} ; x"]),
        "externalIPs": st.lists(_ADDRESSES, max_size=2),
        "sessionAffinity": st.sampled_from(["ClientIP", "None", "clientip"]),
        "externalTrafficPolicy": st.sampled_from(["Local", "Cluster", "local"]),
        "internalTrafficPolicy": st.sampled_from(["Local", "Cluster", "x"]),
        "publishNotReadyAddresses": st.booleans(),
    },
)
_ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "nodeport.harness/allowed-sources": st.sampled_from(
            ["10.0.0.0/8", "10.0.0.0/8,10.1.0.0/16", "0.0.0.0/0", "10.0.0.1/8", "10.0.0.0/8 } ; drop", ","]
        ),
        "nodeport.harness/health-check-node-port": st.sampled_from(["31000", "80", "\u0663\u0661\u0660\u0660\u0660"]),
    },
)
_SERVICE = st.builds(
    lambda name, annotations, spec: {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "annotations": annotations}, "spec": spec,
    },
    _NAMES, _ANNOTATIONS, _SPEC,
)  # fmt: skip
_PODS = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "x", "ports": [{"name": "http", "containerPort": 80}]}]},
}


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    """A network namespace in which nft may check."""
    name = f"hostile-{secrets.token_hex(3)}"
    with netns.added(name):
        yield name


def document(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The forwarder's part for the first node.

    Raises :class:`ManifestError` and :class:`PlanError`, for a person.
    """
    text = yaml.safe_dump_all([_PODS, *objects], allow_unicode=True).encode()
    made = plan.build(manifests.parse([("odd.yaml", text)]), NODES, "lab", None)
    nodes: Any = hostvars.render(made)["nodeport_nodes"]
    wanted: dict[str, Any] = nodes["n1"]["forwarder"]
    return wanted


def table(wanted: dict[str, Any]) -> str:
    """The table, when the role and nodeportd take the document."""
    options = yaml.safe_load(SPECS.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    assert ArgumentSpecValidator(options).validate({"forwarder_state": wanted}).error_messages == []
    return ruleset.full(effective(state.parse(json.dumps(wanted).encode())))


def taken(network: str, text: str) -> None:
    """The kernel would take it, and nothing but our table is in it."""
    words = ["ip", "netns", "exec", network, "nft", "--check", "-f", "-"]
    done = process.run(words, stdin=text, timeout=60)
    assert done.ok, f"{done.err}\n{text}"
    statements = [line for line in text.splitlines() if line.startswith(("add", "delete"))]
    assert all(" ip nodeport" in line for line in statements)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SERVICE, min_size=1, max_size=4))
def test_refused_for_a_person_or_taken_by_the_kernel(network: str, objects: list[dict[str, Any]]) -> None:
    with suppress(ManifestError, PlanError):
        taken(network, table(document(objects)))


def test_the_longest_names_and_both_ends_of_the_range(network: str) -> None:
    def named(name: str, number: int) -> dict[str, Any]:
        ports = [{"port": 65535, "nodePort": number, "targetPort": 1}]
        spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": ports}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}

    wanted = document([named("a" * 63, 30000), named("b", 32767)])
    taken(network, table(wanted))
    with pytest.raises(ManifestError, match="64"):
        document([named("a" * 64, 30000)])


def test_ten_thousand_services(network: str) -> None:
    def numbered(number: int) -> dict[str, Any]:
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}], "sessionAffinity": "ClientIP"}
        if number < 2000:
            spec["type"] = "NodePort"
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{number}"}, "spec": spec}

    objects = [numbered(number) for number in range(10_000)]
    files = [yaml.safe_dump_all(objects[at : at + 1000]).encode() for at in range(0, 10_000, 1000)]
    sources = [("pods.yaml", yaml.safe_dump(_PODS).encode()), *((f"{n}.yaml", one) for n, one in enumerate(files))]
    made = plan.build(manifests.parse(sources), NODES, "lab", None)
    nodes: Any = hostvars.render(made)["nodeport_nodes"]
    text = ruleset.full(effective(state.parse(json.dumps(nodes["n1"]["forwarder"]).encode())))
    taken(network, text)
    assert text.count("goto stick-1") >= 12_000
