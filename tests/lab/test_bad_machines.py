"""What goes wrong on somebody's machines: the machine is named, the others go on, and a second run mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.drivers import Wish
from harness.session.lab import Lab
from tests.lab.foreign import WEB_APP, Foreign

pytestmark = pytest.mark.lab

SKEWED = "import time\nreal = time.time\ntime.time = lambda: real() + 86400\n"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    lab = Lab.at(tmp_path_factory.mktemp("bad"), "bad", "nspawn")
    try:
        yield Foreign(lab.driver.up(Wish(3), lambda _text: None), tmp_path_factory.mktemp("user"))
    finally:
        lab.driver.down(lambda _text: None)


@pytest.fixture(scope="module")
def healthy(foreign: Foreign) -> Path:
    """The inventory with nothing wrong; the machines run our work."""
    source = foreign.inventory()
    done = foreign.harness("run", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err
    return source


def mended(foreign: Foreign) -> None:
    done = foreign.harness("run", "-f", WEB_APP, inventory=foreign.inventory())
    assert done.code == 0, done.out + done.err


def test_a_machine_that_cannot_be_reached_is_named_and_the_others_are_proven(foreign: Foreign, healthy: Path) -> None:
    source = foreign.inventory({"c": {"ansible_host": "192.168.56.99"}})
    done = foreign.harness("run", "-f", WEB_APP, "--json", inventory=source)
    assert done.code == 4, done.err
    assert "c cannot be used: " in done.err
    found = json.loads(done.out)
    assert {verdict["node"] for verdict in found["verdicts"] if verdict["status"] == "ERROR"} == {"c"}
    assert {verdict["status"] for verdict in found["verdicts"]} == {"PASS", "ERROR"}
    assert all(foreign.on(name, "ip netns list").count("pod-") for name in "ab")
    told = foreign.harness("apply", "-f", WEB_APP, inventory=source)
    assert told.code == 4
    assert "\n  c: " in told.err
    assert "  a: " not in told.err
    mended(foreign)


def test_a_machine_without_python_is_named(foreign: Foreign, healthy: Path) -> None:
    try:
        foreign.on("b", "mv /usr/bin/python3 /usr/bin/python3.away")
        done = foreign.harness("apply", "-f", WEB_APP, inventory=healthy)
    finally:
        foreign.on("b", "mv /usr/bin/python3.away /usr/bin/python3")
    assert done.code == 4
    assert "b: python3 is not installed there; on it: apt-get install python3" in done.err
    mended(foreign)
