"""The border between Python and Ansible: what the roles say they take is what they are given, and what they use."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROOT = Path(__file__).parents[3]
ROLES = sorted(path for path in (ROOT / "playbooks/roles").iterdir() if path.is_dir())
GIVEN = {"pod_network": "network", "workload": "pods", "forwarder": "forwarder"}
INPUT = {"pod_network": "pod_network_config", "workload": "workload_pods", "forwarder": "forwarder_state"}
PROGRAMS = sorted(
    path for path in ROOT.glob("playbooks/roles/*/files/*.py") if path.parents[1].name in ("node_base", *GIVEN)
)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def entries(role: Path) -> dict[str, Any]:
    specs: dict[str, Any] = load(role / "meta/argument_specs.yml")["argument_specs"]
    return specs


def example() -> dict[str, Any]:
    """The document in docs/architecture.md that ``harness plan -o yaml`` writes."""
    text = (ROOT / "docs/architecture.md").read_text()
    begin = text.index("    nodeport_generation: 7")
    lines = text[begin:].splitlines()
    last = next(number for number, line in enumerate(lines) if line and not line.startswith("    "))
    document = yaml.safe_load("\n".join(line[4:] for line in lines[:last]))
    assert list(document) == ["nodeport_generation", "nodeport_nodes"]
    return {key: document[key] for key in document}


@pytest.mark.parametrize("role", GIVEN)
def test_the_documented_variables_are_what_the_roles_take(role: str) -> None:
    for node in example()["nodeport_nodes"].values():
        options = entries(ROOT / "playbooks/roles" / role)["main"]["options"]
        given = ArgumentSpecValidator(options).validate({INPUT[role]: node[GIVEN[role]]})
        assert given.error_messages == []


@pytest.mark.parametrize("role", GIVEN)
def test_a_field_too_many_is_refused(role: str) -> None:
    (node,) = example()["nodeport_nodes"].values()
    part = node[GIVEN[role]]
    (part[0] if isinstance(part, list) else part)["surplus"] = 1
    options = entries(ROOT / "playbooks/roles" / role)["main"]["options"]
    messages = ArgumentSpecValidator(options).validate({INPUT[role]: part}).error_messages
    assert any("surplus" in message for message in messages), messages


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_entry_point_has_a_specification(role: Path) -> None:
    included = {"look", "install"} if role.name == "node_base" else set()  # used as tasks by other roles
    assert set(entries(role)) == {path.stem for path in (role / "tasks").glob("*.yml")} - included


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_defaults_are_of_variables_that_the_role_takes(role: Path) -> None:
    taken = {name for entry in entries(role).values() for name in entry["options"]}
    assert set(load(role / "defaults/main.yml") or {}) <= taken


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_option_is_described_and_lists_say_of_what(role: Path) -> None:
    def look(options: dict[str, Any], where: str) -> None:
        for name, option in options.items():
            assert option.get("description"), f"{where}.{name} is not described"
            assert option.get("type"), f"{where}.{name} has no type"
            assert option["type"] != "list" or "elements" in option, f"{where}.{name} does not say of what"
            assert "dict" not in (option["type"], option.get("elements")) or option.get("options"), f"{where}.{name}"
            look(option.get("options", {}), f"{where}.{name}")

    for entry, spec in entries(role).items():
        assert spec["short_description"]
        look(spec["options"], f"{role.name} {entry}")


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_no_role_shrugs(role: Path) -> None:
    text = "".join(path.read_text() for path in role.glob("*/*.yml"))
    assert "ignore_errors" not in text
    assert "failed_when: false" not in text
    assert "gather_facts: true" not in text


@pytest.mark.parametrize("role", ["pod_network", "workload"])
def test_every_file_of_a_role_is_installed(role: str) -> None:
    folder = ROOT / "playbooks/roles" / role
    sources = {entry["src"].rpartition("/")[2] for entry in load(folder / "vars/main.yml")[f"{role}_files"]}
    assert sources == {path.name for path in (folder / "files").iterdir() if path.is_file()}


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_role_tells_what_it_is_for(role: Path) -> None:
    text = (role / "README.md").read_text()
    inputs = {name for entry in entries(role).values() for name in entry["options"]}
    assert {name for name in inputs if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_nodes_need_nothing_but_python(path: Path) -> None:
    beside = {other.stem for other in path.parent.glob("*.py")}
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
        if isinstance(node, ast.Import):
            names |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names - sys.stdlib_module_names - beside == set()


@pytest.mark.parametrize("unit", sorted(ROOT.glob("playbooks/roles/*/files/*.service")), ids=lambda path: path.name)
def test_a_unit_starts_a_program_that_is_installed(unit: Path) -> None:
    role = unit.parents[1]
    variables = load(role / "vars/main.yml")
    installed = str(variables)
    for program in re.findall(r"/usr/local/lib/nodeport/\S+", unit.read_text()):
        assert program in installed, program
