"""Whatever manifests say: refused for a person, or a state that nodes take and a table that the kernel takes.

The whole way without nodes: parse, plan, variables as Ansible reads them, role's specification, nodeportd's reader,
``nft --check``, the text of pods' units, what socat is started with, what pods are asked.
"""

from __future__ import annotations

import copy
import importlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import HealthCheck, given, settings
from nodeportd import routes, ruleset, socat, state
from nodeportd.endpoints import effective

from harness import manifests, plan
from harness.converge import hostvars, variables
from harness.errors import ManifestError, PlanError
from harness.model.cluster import Node
from harness.model.plan import Plan
from harness.support import netns, process
from tests.lab.hostile import nearly_right

pytestmark = pytest.mark.lab

NODES = [Node("n1", "192.168.56.11"), Node("n2", "192.168.56.12")]
probing, podctl, podlinks = map(importlib.import_module, ("nodeportd.probing", "podctl", "podlinks"))
SPECS = Path(__file__).parents[2] / "playbooks/roles/forwarder/meta/argument_specs.yml"

_POD = {
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


def planned(objects: list[dict[str, Any]]) -> Plan:
    """The plan of these objects.

    Raises :class:`ManifestError` and :class:`PlanError`, for a person.
    """
    text = yaml.safe_dump_all(objects, allow_unicode=True).encode()
    return plan.build(manifests.parse([("odd.yaml", text)]), NODES, "lab", None)


def told(made: Plan, folder: Path, form: Callable[[dict[str, object]], str]) -> dict[str, Any]:
    """The variables as roles get them: written, read by Ansible with all trust, and filled in."""
    file = folder / "plan"
    file.write_text(form(hostvars.render(made)), encoding="utf-8")
    loader = DataLoader()
    nodes = loader.load_from_file(str(file), trusted_as_template=True)["nodeport_nodes"]
    filled: dict[str, Any] = Templar(loader).template(nodes)
    return filled


def wanted_of(forwarder: dict[str, Any]) -> state.State:
    """What nodeportd reads, when the role takes it."""
    options = yaml.safe_load(SPECS.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    assert ArgumentSpecValidator(options).validate({"forwarder_state": forwarder}).error_messages == []
    return state.parse(json.dumps(forwarder).encode())


def taken(network: str, text: str) -> None:
    """The kernel would take it, and nothing but our table is in it."""
    words = ["ip", "netns", "exec", network, "nft", "--check", "-f", "-"]
    done = process.run(words, stdin=text, timeout=60)
    assert done.ok, f"{done.err}\n{text}"
    statements = [line for line in text.splitlines() if line.startswith(("add", "delete"))]
    assert all(" ip nodeport" in line for line in statements)


NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
UNIT = re.compile(
    rf"\[Unit\]\nDescription=Pod {NAME}/{NAME}\n\n\[Service\]\nSyslogIdentifier={NAME}\nTimeoutStopSec=\d+\n"
    rf"Restart=(always|on-failure|no)\nEnvironment=POD_NAMESPACE={NAME} POD_NAME={NAME} POD_UID={NAME}\n"
    r'Environment=POD_ADDRESS=[0-9.]+ "POD_LISTENS=(\d+/(TCP|UDP) ?)*" POD_PROGRAM=[0-9a-f]*\n'
)


def pods_units_hold_names_and_numbers(pods: list[dict[str, Any]]) -> None:
    for pod in pods:
        assert list(podctl.faults_of(pod)) == []
        assert UNIT.fullmatch(podctl.identity(pod)), podctl.identity(pod)
        assert re.fullmatch(rf"{NAME}/{NAME}", podlinks.alias_of(pod) + "a"), "a line of ip -batch"


def relay_starts_socat_with_numbers(wanted: state.State) -> None:
    for route in socat.routes(effective(wanted)):
        written = json.dumps(routes.to_json(route))
        assert routes.from_json(json.loads(written)) == route
        for address, number in (*route.everywhere, *route.outside):
            assert re.fullmatch(r"TCP4:[0-9.]+:\d+", f"TCP4:{address}:{number}")


def pods_are_asked_one_thing(wanted: state.State) -> None:
    for check in wanted.checks:
        lines = probing.request(check).decode("latin-1").split("\r\n")
        assert len(lines) == 1 + 4 + len(check.headers) + 2, "as many as there are, and an empty one"
        assert not any(sign in line for line in lines for sign in "\r\n")


outcomes: Counter[str] = Counter()


def is_refused_or_harmless(network: str, folder: Path, objects: list[dict[str, Any]]) -> None:
    made, refusal = None, ""
    try:
        made = planned(objects)
    except (ManifestError, PlanError) as error:
        refusal = str(error)
    outcomes["taken" if made else "refused"] += 1
    if made is None:
        assert refusal.strip()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", refusal), "nothing for a terminal to obey"
        return
    rendered = hostvars.render(made)["nodeport_nodes"]
    for form in (variables.as_json, variables.as_yaml):
        nodes = told(made, folder, form)
        assert nodes == rendered, "Ansible carries nothing out"
    for node in NODES:
        pods_units_hold_names_and_numbers(nodes[node.name]["pods"])
        wanted = wanted_of(nodes[node.name]["forwarder"])
        pods_are_asked_one_thing(wanted)
        relay_starts_socat_with_numbers(wanted)
    taken(network, ruleset.full(effective(wanted)))


@pytest.mark.parametrize("times", [150, pytest.param(5000, marks=pytest.mark.long)])
def test_refused_for_a_person_or_harmless_all_the_way(network: str, tmp_path: Path, times: int) -> None:
    @settings(max_examples=times, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(nearly_right())
    def each(objects: list[dict[str, Any]]) -> None:
        is_refused_or_harmless(network, tmp_path, objects)

    outcomes.clear()
    each()
    assert min(outcomes["refused"], outcomes["taken"]) > times // 10, outcomes


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{%print(7)%}", "{# x #}", "{{ lookup('pipe', 'echo x') }}"])
def test_what_looks_like_a_template_stays_text(tmp_path: Path, text: str) -> None:
    """Once it was carried out, on the machine where Ansible runs."""
    pod = copy.deepcopy(_POD)
    probe = {
        "httpGet": {"port": 80, "path": f"/{text.replace(' ', '')}", "httpHeaders": [{"name": "X", "value": text}]}
    }
    pod["spec"]["containers"][0]["readinessProbe"] = probe  # type: ignore[index]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
               "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}  # fmt: skip
    for form in (variables.as_json, variables.as_yaml):
        (check,) = told(planned([pod, service]), tmp_path, form)["n1"]["forwarder"]["checks"]
        assert check["headers"] == [{"name": "X", "value": text}]
        assert check["path"] == f"/{text.replace(' ', '')}"


def table(made: Plan) -> str:
    nodes: Any = hostvars.render(made)["nodeport_nodes"]
    return ruleset.full(effective(wanted_of(nodes["n1"]["forwarder"])))


def test_the_longest_names_and_both_ends_of_the_range(network: str) -> None:
    def named(name: str, number: int) -> dict[str, Any]:
        ports = [{"port": 65535, "nodePort": number, "targetPort": 1}]
        spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": ports}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}

    taken(network, table(planned([_POD, named("a" * 63, 30000), named("b", 32767)])))
    with pytest.raises(ManifestError, match="64"):
        planned([_POD, named("a" * 64, 30000)])


def test_ten_thousand_services(network: str) -> None:
    def numbered(number: int) -> dict[str, Any]:
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}], "sessionAffinity": "ClientIP"}
        if number < 2000:
            spec["type"] = "NodePort"
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{number}"}, "spec": spec}

    objects = [numbered(number) for number in range(10_000)]
    files = [yaml.safe_dump_all(objects[at : at + 1000]).encode() for at in range(0, 10_000, 1000)]
    sources = [("pods.yaml", yaml.safe_dump(_POD).encode()), *((f"{n}.yaml", one) for n, one in enumerate(files))]
    made = plan.build(manifests.parse(sources), NODES, "lab", None)
    text = table(made)
    taken(network, text)
    (led,) = [line for line in text.splitlines() if line.startswith("add element ip nodeport services ")]
    assert led.count(" : ") == 12_000, "every ClusterIP, and a nodePort of every fifth"
