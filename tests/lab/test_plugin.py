"""pytest against real nodes, as a user calls it: in a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.drivers import Wish
from harness.pytest_plugin import shared
from harness.session.lab import Lab
from harness.support import clock, process

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
WEB_APP = ROOT / "examples" / "web-app.yaml"
BREAKING = """
import pytest

@pytest.fixture(scope="session")
def harmed(cluster, node_host):
    if node_host.backend.hostname == "n2":
        node_host.run("systemctl stop nodeportd; logger -t witness nodeportd was stopped")
    return node_host

def test_the_forwarder_runs(harmed, node):
    assert harmed.service("nodeportd").is_running

def test_testinfra_asks_the_nodes(host):
    assert host.file("/etc/nodeport/state.json").exists
    assert host.backend.NAME == "ssh"
"""
USER = """
def test_of_the_user(node):
    assert node.address

def test_that_would_pass():
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "pytest.ini").touch()
    yield tmp_path
    Lab.at(tmp_path, "default", "nspawn").driver.down(lambda _text: None)


@pytest.fixture
def e2e(folder: Path) -> Path:
    shutil.copy(ROOT / "tests" / "e2e" / "test_nodeports.py", folder)
    return folder


def argv(*options: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *options]


def pytest_in(folder: Path, *options: str | Path) -> process.Completed:
    return process.run(argv(*options), cwd=folder, timeout=180)


def lab(folder: Path) -> Lab:
    return Lab.at(folder, "default", "nspawn")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".harness/*/pytest*json"))


def properties(junit: Path, module: str, case: str) -> dict[str, str]:
    found = ET.parse(junit).iter("testcase")  # noqa: S314 - our own text
    (one,) = [entry for entry in found if entry.get("name") == case and entry.get("classname") == module]
    return {entry.attrib["name"]: entry.attrib["value"] for entry in one.iter("property")}


def test_a_user_s_tests_run_on_nodes_of_their_own_and_a_broken_node_is_shown(e2e: Path) -> None:
    (e2e / "test_z_breaking.py").write_text(BREAKING)
    done = pytest_in(e2e, "--harness-driver=nspawn", f"--harness-manifests={WEB_APP}", "--junitxml=junit.xml")
    assert done.code == 1, done.out + done.err
    assert "test_every_node_answers[n3-default/web-service:30008/TCP] PASSED" in done.out
    assert "test_check[n1-spread] PASSED" in done.out
    assert "test_check[cluster-unforeseen] PASSED" in done.out
    assert "test_z_breaking.py::test_the_forwarder_runs[n1] PASSED" in done.out
    assert "test_z_breaking.py::test_the_forwarder_runs[n2] FAILED" in done.out
    assert "test_check[n2-node-state] FAILED" in done.out, "pytest runs the cases of one node after the other"
    assert "2 failed" in done.out
    assert "journal of n2" in done.out
    assert "witness" in done.out, "what happened on the node must be in what is shown"
    assert "ruleset of n2" in done.out
    assert "journal of n1" not in done.out
    assert "test_testinfra_asks_the_nodes[ssh://n3] PASSED" in done.out
    said = properties(e2e / "junit.xml", "test_z_breaking", "test_the_forwarder_runs[n2]")
    assert said["driver"] == "nspawn"
    assert said["n2 kernel"] == platform.release(), "containers have their host's kernel"
    assert said["n2 os_image"].startswith("Debian GNU/Linux 12 (bookworm)")
    assert said["n2 nftables"] == "1.0.6"
    assert said["n2 python"].startswith("3.11.")
    assert "n1 kernel" not in said
    assert said["tester harness"]
    assert lab(e2e).driver.status() is None, "who made the nodes removes them"
    assert left(e2e) == []


def test_workers_share_the_nodes(e2e: Path) -> None:
    one = pytest_in(e2e, "--harness-driver=nspawn", f"--harness-manifests={WEB_APP}", "--collect-only", "-qq")
    ids = {line for line in one.out.splitlines() if "::" in line}
    assert not (e2e / ".harness").exists(), "collecting touches nothing"
    done = pytest_in(
        e2e, "--harness-driver=nspawn", f"--harness-manifests={WEB_APP}", "-n", "2", "--junitxml=junit.xml"
    )
    assert done.ok, done.out + done.err
    assert {line.split()[-1] for line in done.out.splitlines() if " PASSED " in line} == ids
    assert properties(e2e / "junit.xml", "test_nodeports", "test_the_forwarder_runs[n3]")["n3 nftables"]
    assert len(list((lab(e2e).home / "runs").glob("*/ansible.log"))) - 1 <= 1, "one worker converges, for all"
    assert lab(e2e).driver.status() is None
    assert left(e2e) == []


ALONE: tuple[str, ...] = ()
TWO = ("-n", "2")


@pytest.mark.parametrize(
    ("workers", "toml", "options", "why"),
    [
        (ALONE, "", ("--harness-driver=other",), "there is no driver 'other' (known drivers: "),
        (TWO, "", ("--harness-driver=static",), "the driver static needs an inventory"),
        (ALONE, "driver = 'other'", (), "there is no driver 'other' (known drivers: "),
        (TWO, "drivr = 'nspawn'", (), "did you mean driver?"),
        (ALONE, "inventory = 'here.yml'", (), "'127.0.0.1' is none; set nodeport_address"),
        (ALONE, "inventory = 'none.yml'", (), "none.yml"),
        (TWO, "", ("--harness-manifests=broken.yaml",), "broken.yaml:"),
        (ALONE, "", ("--harness-manifests=missing.yaml",), "missing.yaml: No such file"),
        (ALONE, "", ("--harness-lab=..",), "cannot be a lab's name"),
    ],
)
def test_what_cannot_be_tested_is_a_usage_error(
    workers: tuple[str, ...], toml: str, options: tuple[str, ...], why: str, folder: Path
) -> None:
    (folder / "test_user.py").write_text(USER)
    (folder / "harness.toml").write_text(toml)
    (folder / "here.yml").write_text("{all: {children: {nodes: {hosts: {n1: {ansible_host: 127.0.0.1}}}}}}")
    (folder / "none.yml").write_text("{all: {children: {nodes: {hosts: {}}}}}")
    shutil.copy(min((ROOT / "examples" / "broken").glob("*.yaml")), folder / "broken.yaml")
    done = pytest_in(folder, *options, *workers)
    said = done.out + done.err
    assert done.code == 4, said
    assert said.count(why) == 1, said
    assert "ERROR: harness: " in said
    assert "Traceback" not in said
    assert "E   " not in said
    assert "passed" not in said, "nothing runs when something cannot be tested"
    assert not list(folder.glob(".harness/*/inventory.yml")), "and no node is made"


def test_host_beside_node_is_refused(folder: Path) -> None:
    (folder / "test_user.py").write_text("def test_pairs(host, node):\n    pass\n")
    done = pytest_in(folder)
    assert done.code == 4
    assert "test_pairs: `host` beside `node` would pair every node with every other" in done.out + done.err


def test_what_is_not_there_to_be_tested_is_refused(e2e: Path) -> None:
    done = pytest_in(e2e)
    assert done.code == 4
    assert "there is no nodePort to test (--harness-manifests PATH)" in done.out + done.err
    assert not (e2e / ".harness").exists()


def test_a_session_that_asks_for_no_node_makes_none(folder: Path) -> None:
    (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    assert pytest_in(folder).ok
    assert not (folder / ".harness").exists()


def test_nodes_that_run_are_used_and_stay(folder: Path) -> None:
    (folder / "test_user.py").write_text(USER)
    cluster = lab(folder).driver.up(Wish(count=2), lambda _text: None)
    done = pytest_in(folder, "--harness-driver=nspawn")
    assert done.ok, done.out
    assert "test_of_the_user[n2] PASSED" in done.out
    assert "[n3]" not in done.out
    assert lab(folder).driver.status() == cluster
    assert left(folder) == []


WAITING = """
import pathlib, signal

def test_is_killed(cluster):
    pathlib.Path("ready").touch()
    signal.pause()
"""


def test_the_next_session_clears_up_after_one_that_was_killed(folder: Path) -> None:
    (folder / "test_user.py").write_text(WAITING)
    child = process.start(argv("--harness-driver=nspawn"), cwd=folder)

    def ready() -> None:
        if not (folder / "ready").exists():
            raise clock.NotYet(f"it ended with {child.poll()}" if child.poll() is not None else "not yet")

    try:
        clock.until(ready, what="the session to have nodes", within=60)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert lab(folder).driver.status() is not None
    (folder / "test_user.py").write_text(USER)
    done = pytest_in(folder, "--harness-driver=nspawn")
    assert done.ok, done.out
    assert lab(folder).driver.status() is None, "who clears up answers for the nodes of the dead session"
    assert left(folder) == []


def test_manifests_are_not_applied_under_another_session(folder: Path) -> None:
    (folder / "test_user.py").write_text(USER)
    with shared.record(lab(folder).home) as found:
        found.sessions["other"] = shared.Session(os.getpid(), shared.began(os.getpid()))
    done = pytest_in(folder, "--harness-driver=nspawn", f"--harness-manifests={WEB_APP}")
    assert done.code == 1
    assert f"lab 'default' is used by another pytest session, process {os.getpid()}" in done.out
    assert lab(folder).driver.status() is None


def test_nodes_that_cannot_be_made_are_told_in_one_line_each(folder: Path) -> None:
    (folder / "test_user.py").write_text(USER)
    (folder / ".harness" / "default").mkdir(parents=True)
    with Lab.at(folder, "default", "nspawn").changing():
        done = pytest_in(folder, "--harness-driver=nspawn")
    assert done.code == 1
    assert "lab 'default' is being changed by another harness" in done.out
    assert "3 errors" in done.out
    assert "Traceback" not in done.out
    assert left(folder) == ["pytest.json"], "what may have been made is answered for"
    assert pytest_in(folder, "--harness-driver=nspawn").ok
    assert left(folder) == []
