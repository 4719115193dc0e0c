"""The rules of the house: formatting, types, layers, playbooks. In CI a missing tool is a failure, never a skip."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from harness.support import process

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MOST_LINES = 320


def tool(name: str) -> str:
    """The path of a tool: of this environment, or of the machine."""
    found = PROGRAMS / name
    if found.exists():
        return str(found)
    for folder in os.environ.get("PATH", "").split(":"):
        if (Path(folder) / name).exists():
            return name
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and this is CI")
    pytest.skip(f"{name} is not installed: make setup")


@pytest.mark.parametrize(
    "words",
    [
        ("ruff", "check", "--quiet", "."),
        ("ruff", "format", "--check", "--quiet", "harness", "tests", "benchmarks"),
        ("mypy",),
        ("lint-imports",),
        ("ansible-lint", "--offline", "-q", "--profile", "production", "playbooks"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_gate_is_open(words: tuple[str, ...]) -> None:
    env = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ.get('PATH', '')}"}
    env["ANSIBLE_LIBRARY"] = str(ROOT / "playbooks/library")  # ansible-lint looks at a role without its playbook
    done = process.run([tool(words[0]), *words[1:]], cwd=ROOT, env=env, timeout=300)
    assert done.ok, done.out + done.err


SHELL = sorted([*ROOT.glob("harness/**/*.sh"), ROOT / ".ci" / "run"])


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shell_scripts_are_sound(script: Path) -> None:
    done = process.run([tool("shellcheck"), script])
    assert done.ok, done.out


@pytest.mark.parametrize(
    "module",
    [
        path.relative_to(ROOT)
        for path in sorted([*ROOT.glob("harness/**/*.py"), *ROOT.glob("playbooks/**/*.py")])
        if path.name != "program.py"  # sent to nodes whole, so it has to be one file
    ],
    ids=str,
)
def test_a_module_can_be_held_in_mind(module: Path) -> None:
    lines = len((ROOT / module).read_text().splitlines())
    assert lines <= MOST_LINES, f"{lines} lines; split it"


def test_every_room_is_described_in_the_order_of_layers() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = [room.strip() for layer in layers for room in layer.split("|") if room.strip() != "__main__"]
    text = (ROOT / "docs" / "architecture.md").read_text()
    described = re.findall(r"^- \*\*(\w+)\*\*", text, flags=re.MULTILINE)
    assert sorted(described) == sorted(rooms)


def test_the_changelog_has_this_version() -> None:
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
