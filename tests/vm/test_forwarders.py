"""Both forwarders, and one cluster of both, keep every promise of a Service on virtual machines too."""

from __future__ import annotations

import shutil

import pytest

from tests.vm.machines import ROOT, Machines

pytestmark = [pytest.mark.lab, pytest.mark.vm]

MANIFESTS = ROOT / "tests/lab/every_promise.yaml"


@pytest.mark.parametrize("forwarders", [("nftables",), ("socat",), ("socat", "n2=nftables")], ids="+".join)
def test_every_promise_is_kept_on_machines(forwarders: tuple[str, ...], converged: Machines) -> None:
    shutil.copy(MANIFESTS, converged.folder)
    chosen = [word for each in forwarders for word in ("--forwarder", each)]
    try:
        converged.well("apply", *chosen, "-f", MANIFESTS.name)
        converged.prove()
        verdicts = converged.report()["verdicts"]
        kept = {(each["check"], each["vantage"].partition("/")[0]) for each in verdicts if each["status"] == "PASS"}
        assert {("answers", "outside"), ("affinity", "n1"), ("refused", "outside"), ("hairpin", "pod")} <= kept
        lacking = {
            each["node"] for each in verdicts if each["status"] == "SKIP" and "forwarder socat" in each["summary"]
        }
        assert lacking == {node for node in ("n1", "n2", "n3") if backend_of(node, forwarders) == "socat"}
    finally:
        converged.well("apply", "--forwarder", "nftables", "-f", "web-app.yaml")


def backend_of(node: str, forwarders: tuple[str, ...]) -> str:
    chosen = dict(each.split("=") for each in forwarders if "=" in each)
    return chosen.get(node, forwarders[0])
