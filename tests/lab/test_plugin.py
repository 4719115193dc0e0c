"""pytest against real nodes, as a user calls it: in a process of its own, in a folder of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from harness.session.lab import Lab
from harness.support import process

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
WEB_APP = ROOT / "examples" / "web-app.yaml"
WRONG = """
def test_testinfra_asks_the_nodes(host):
    assert host.file("/etc/nodeport/state.json").exists
    assert host.backend.NAME == "ssh"

def test_no_node_is_called_n2(node):
    assert node.name != "n2"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "tests" / "e2e" / "test_nodeports.py", tmp_path)
    (tmp_path / "pytest.ini").touch()
    return tmp_path


def pytest_in(folder: Path, *options: str | Path) -> process.Completed:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *options]
    return process.run(argv, cwd=folder, timeout=180)


def test_a_user_s_tests_run_on_nodes_of_their_own(folder: Path) -> None:
    (folder / "test_wrong.py").write_text(WRONG)
    done = pytest_in(folder, "--harness-driver=nspawn", "--harness-manifests", WEB_APP, "--junitxml=junit.xml")
    assert done.code == 1, done.out + done.err
    assert "test_every_node_answers[n3-default/web-service:30008/TCP] PASSED" in done.out
    assert "test_check[n1-spread] PASSED" in done.out
    assert "test_the_forwarder_runs[n2] PASSED" in done.out
    assert "1 failed" in done.out
    assert "journal of n2" in done.out
    assert "ruleset of n2" in done.out
    assert "journal of n1" not in done.out
    assert "test_testinfra_asks_the_nodes[ssh://n3] PASSED" in done.out
    assert 'name="driver" value="nspawn"' in (folder / "junit.xml").read_text()
    assert Lab.at(folder, "default", "nspawn").driver.status() is None, "who made the nodes removes them"
    assert not list(folder.glob(".harness/*/pytest-*.json"))


def test_workers_share_the_nodes(folder: Path) -> None:
    done = pytest_in(folder, "--harness-driver=nspawn", "--harness-manifests", WEB_APP, "-n", "2")
    assert done.ok, done.out + done.err
    assert Lab.at(folder, "default", "nspawn").driver.status() is None


def test_without_nodes_nothing_is_tested(folder: Path) -> None:
    done = pytest_in(folder, "--harness-driver=static")
    assert done.code not in (0, 5), done.out
    assert "the driver static needs an inventory" in done.out + done.err
    assert "passed" not in done.out


def test_a_session_that_asks_for_no_node_makes_none(folder: Path) -> None:
    (folder / "test_nodeports.py").write_text("def test_nothing():\n    pass\n")
    assert pytest_in(folder).ok
    assert not (folder / ".harness").exists()
