"""Whole runs of the command, as a user calls it: what it ends with, what it leaves, what it says."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import RigError
from harness.session.lab import Lab
from harness.support import clock, process

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).parents[2] / "examples"
HARNESS = Path(sys.executable).with_name("harness")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    Lab.at(tmp_path, "default", "nspawn").driver.down(lambda _text: None)


def harness(folder: Path, *words: str | Path, timeout: float = 180) -> process.Completed:
    return process.run([HARNESS, *words], cwd=folder, timeout=timeout)


def latest(folder: Path) -> Path:
    return folder / ".harness" / "default" / "runs" / "latest"


def test_a_selector_without_pods_is_red_and_explained_then_mended_on_the_same_nodes(folder: Path) -> None:
    red = harness(folder, "run", "-f", EXAMPLES / "myapp.yaml")
    assert red.code == 1, red.err
    assert "no pod carries type=front-end; 6 pods match the rest (app=myapp)" in " ".join(red.out.split())
    assert (latest(folder) / "collect.tar.gz").stat().st_size > 10_000
    failed = [
        each
        for each in json.loads((latest(folder) / "report.json").read_text())["verdicts"]
        if each["status"] == "FAIL"
    ]
    assert [(each["check"], each["service"]) for each in failed] == [("endpoints", "default/myapp-service")]
    nodes = harness(folder, "get", "nodes", "-o", "json").out
    mended = folder / "mended.yaml"
    mended.write_text((EXAMPLES / "myapp.yaml").read_text().replace("    type: front-end\n", ""))
    same_port = ("exec", "n2", "--", "curl", "-sm2", "--local-port", "45000", "http://192.168.56.12:30008/hostname")
    assert harness(folder, *same_port).code == 7, "curl's word for refused"
    green = harness(folder, "run", "-f", mended)
    again = harness(folder, *same_port)
    assert again.out.startswith("myapp-deployment"), "what was refused from a port before must not be refused now"
    assert green.code == 0, green.out
    assert json.loads(nodes)[0]["name"] == "n1"
    assert Lab.at(folder, "default", "nspawn").driver.status() is not None, "nodes that were found running stay"
    report = json.loads((latest(folder) / "report.json").read_text())
    assert report["status"] == "PASS"
    pods = json.loads(harness(folder, "get", "pods", "-o", "json").out)
    assert {pod["status"] for pod in pods} == {"Running"}
    urls = harness(folder, "url", "myapp-service").out.split()
    assert urls == [f"http://192.168.56.{n}:30008" for n in (11, 12, 13)]
    assert harness(folder, "exec", "n2", "grep", "-i", "version_id", "/etc/os-release").out.startswith("VERSION_ID")
    inside = harness(folder, "exec", f"pod/{pods[0]['name']}", "--", "ip", "-br", "address")
    assert pods[0]["ip"] in inside.out
    chosen = harness(folder, "run", "-f", mended, "--focus", "spread.*outside → n2", "--json")
    assert chosen.code == 0, chosen.err
    found = json.loads(chosen.out)
    assert [verdict["subject"][:14] for verdict in found["verdicts"]] == ["outside → n2, "]
    assert {share["node"] for share in found["shares"]} == {"n2"}
    assert found["provenance"]["focus"] == "spread.*outside → n2"


@pytest.mark.long
@pytest.mark.parametrize("file", ["httpd.yaml", "auto-nodeport.yaml"])
def test_an_example_passes(file: str, folder: Path) -> None:
    passes_and_nothing_is_left(folder, file)


def passes_and_nothing_is_left(folder: Path, file: str) -> None:
    done = harness(folder, "run", "-f", EXAMPLES / file)
    assert done.code == 0, done.out + done.err
    assert Lab.at(folder, "default", "nspawn").driver.status() is None
    assert {path.name for path in latest(folder).iterdir()} >= {
        "report.json",
        "junit.xml",
        "report.html",
        "attempts.jsonl",
    }


@pytest.mark.parametrize("file", sorted((EXAMPLES / "broken").glob("*.yaml")), ids=lambda path: path.name)
def test_a_broken_manifest_is_refused_and_nothing_is_made(file: Path, folder: Path) -> None:
    done = harness(folder, "run", "-f", file)
    assert done.code == 2
    assert "nothing was changed" in done.err
    assert "Traceback" not in done.err
    assert not (folder / ".harness").exists()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("seconds", [pytest.param(1.5, marks=pytest.mark.long), 4.0])
def test_ctrl_c_leaves_nothing_and_the_next_run_works(seconds: float, folder: Path) -> None:
    child = process.start([HARNESS, "run", "-f", EXAMPLES / "web-app.yaml"], cwd=folder)
    with pytest.raises(TimeoutError):
        _ended_within(child, seconds)
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(timeout=60) == 130
    lab = Lab.at(folder, "default", "nspawn")
    assert lab.driver.status() is None
    assert not (lab.home / "inventory.yml").exists()
    passes_and_nothing_is_left(folder, "httpd.yaml")


def _ended_within(child: process.Process[bytes], seconds: float) -> None:
    """Wait that long for the run to end by itself; a run that does is too quick for this test."""

    def ended() -> None:
        if child.poll() is None:
            raise clock.NotYet("it runs")

    try:
        clock.until(ended, what="the run to end", within=seconds)
    except RigError:
        raise TimeoutError from None


def test_help_fits_one_screen_and_every_verb_has_an_example(folder: Path) -> None:
    shown = harness(folder, "--help").out
    assert len(shown.splitlines()) <= 40
    assert max(map(len, shown.splitlines())) <= 110
    assert shown.count("harness ") >= 12


def test_checks_are_listed_and_a_misspelt_choice_changes_nothing(folder: Path) -> None:
    listed = harness(folder, "verify", "--list", "--json")
    assert {"answers", "spread", "refused"} <= {check["id"] for check in json.loads(listed.out)}
    wrong = harness(folder, "run", "-f", EXAMPLES / "web-app.yaml", "--focus", "spraed")
    assert (wrong.code, "did you mean spread?" in wrong.err) == (2, True), wrong.err
    assert not (folder / ".harness" / "default" / "plan.json").exists(), "the nodes were told something"
