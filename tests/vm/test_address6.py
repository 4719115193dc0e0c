"""Machines of Vagrant with an IPv6 address as well: nodePorts in both families, after a power cut too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import yaml

from tests.vm.machines import ROOT, Machines

pytestmark = [pytest.mark.lab, pytest.mark.vm]

MANIFESTS = ROOT / "examples/dual-stack.yaml"


@pytest.fixture
def dual(converged: Machines) -> Iterator[Machines]:
    """The machines with an IPv6 address each; without one in the harness's eyes afterwards."""
    file = converged.folder / "inventories/vagrant/nodes.yml"
    before = file.read_text()
    nodes = yaml.safe_load(before)["nodes"]
    for node in nodes:
        node["address6"] = f"fd00:192:168:56::{node['address'].rpartition('.')[2]}"
    file.write_text(yaml.safe_dump({"nodes": nodes}))
    try:
        reloaded = converged.vagrant("reload")
        assert reloaded.ok, reloaded.out + reloaded.err
        shutil.copy(MANIFESTS, converged.folder)
        yield converged
    finally:
        file.write_text(before)
        converged.well("apply", "-f", "web-app.yaml")


def test_both_families_are_served_on_machines(dual: Machines) -> None:
    dual.well("apply", "-f", MANIFESTS.name)
    assert_both_families(dual)
    dual.well("reboot", "n2", "--hard")
    assert_both_families(dual)


def assert_both_families(machines: Machines) -> None:
    machines.prove()
    verdicts = machines.report()["verdicts"]
    asked = {
        (each["vantage"], each["node"], "IPv6" in each["subject"]) for each in verdicts if each["check"] == "answers"
    }  # fmt: skip
    assert asked >= {(vantage, node, six) for vantage in ("outside", "n1") for node in ("n1", "n2", "n3")
                     for six in (True, False)}  # fmt: skip
    seen = {each["status"] for each in verdicts if each["check"] == "spread" and "IPv6" in each["subject"]}
    assert seen == {"PASS"}
