"""The role's borders: what it takes, what it installs, what its unit may do, what its program says."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from harness.support import process

ROLE = Path(__file__).parents[3] / "playbooks/roles/forwarder"
FILES = ROLE / "files"
UNITS = ("nodeportd.service", "nodeport-socat.service")
CASES = Path(__file__).parents[2] / "cases/forwarder"
MODULES = sorted((FILES / "nodeportd").glob("*.py"))


def load(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text())


def specification() -> dict[str, Any]:
    options: dict[str, Any] = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return options


def test_every_file_is_installed_where_it_is_run() -> None:
    installed = {entry["dest"]: (entry["src"], entry["mode"]) for entry in load("vars/main.yml")["forwarder_files"]}
    wanted = {f"/usr/local/lib/nodeport/nodeportd/{path.name}": path for path in MODULES}
    wanted |= {f"/etc/systemd/system/{unit}": FILES / unit for unit in UNITS}
    assert installed == {dest: (path.relative_to(FILES).as_posix(), "0644") for dest, path in wanted.items()}


@pytest.mark.parametrize("case", sorted(CASES.glob("*/expected.nft")), ids=lambda path: path.parent.name)
def test_what_the_program_understands_the_role_takes(case: Path) -> None:
    given = {"forwarder_state": yaml.safe_load((case.parent / "state.json").read_text())}
    assert ArgumentSpecValidator(specification()).validate(given).error_messages == []


def test_a_field_that_is_not_known_is_refused_before_anything_is_done() -> None:
    state = yaml.safe_load((CASES / "one-service-three-endpoints/state.json").read_text())
    state["services"][0]["ports"][0]["nodePort"] = state["services"][0]["ports"][0].pop("node_port")
    messages = ArgumentSpecValidator(specification()).validate({"forwarder_state": state}).error_messages
    assert any("missing required arguments: node_port" in message for message in messages), messages
    assert any("nodePort" in message for message in messages), messages


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nodes_need_nothing_but_python_and_nftables(path: Path) -> None:
    foreign = {name.partition(".")[0] for name in imported(path)} - sys.stdlib_module_names - {"nodeportd"}
    assert foreign == ({"nftables"} if path.stem == "kernel" else set())


def exposure(unit: Path) -> float:
    shown = process.check(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], what="ask systemd")
    return float(next(line for line in shown.out.splitlines() if "Overall exposure" in line).split()[-3])


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_has_little_to_lose(unit: str, tmp_path: Path) -> None:
    assert exposure(FILES / unit) < 4
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(bare) > 9


def test_the_unit_has_one_capability_and_shares_its_folder() -> None:
    lines = (FILES / "nodeportd.service").read_text().splitlines()
    assert [line for line in lines if "Capabilit" in line] == ["CapabilityBoundingSet=CAP_NET_ADMIN"]
    assert {"NoNewPrivileges=yes", "RuntimeDirectory=nodeport", "RuntimeDirectoryPreserve=yes"} <= set(lines)


def program(*words: str | Path) -> process.Completed:
    return process.run([sys.executable, "-EB", FILES / "nodeportd", *words])


def test_check_says_every_reason_with_its_file() -> None:
    case = CASES / "refused-fields-of-services"
    done = program("check", case / "state.json")
    assert (done.code, done.out) == (1, "")
    expected = (case / "expected.txt").read_text().splitlines()
    assert done.err.splitlines() == [f"{case / 'state.json'}: {reason}" for reason in expected]


def test_check_is_silent_when_all_is_well() -> None:
    done = program("check", CASES / "one-service-three-endpoints/state.json")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_check_of_a_file_that_is_not_there() -> None:
    done = program("check", "/nowhere.json")
    assert (done.code, done.err) == (1, "/nowhere.json: No such file or directory\n")


def test_render_prints_the_whole_table() -> None:
    case = CASES / "one-service-three-endpoints"
    done = program("render", case / "state.json")
    assert (done.code, done.out) == (0, (case / "expected.nft").read_text())


@pytest.mark.parametrize(
    "words", [[], ["check"], ["serv"], ["settle", "seven"], ["settle", "7", "--force"], ["coming", "x"]]
)
def test_a_word_that_is_not_known(words: list[str]) -> None:
    done = program(*words)
    assert (done.code, done.out) == (2, "")
    assert "nodeportd serve" in done.err
