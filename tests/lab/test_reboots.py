"""After a reboot or a power cut everything comes back by itself: no Ansible, and green as before."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.drivers import boots
from harness.errors import DriverError, RemoteError
from harness.model.cluster import Cluster
from harness.session import power, settle
from harness.session.lab import Lab
from harness.support import clock, process
from tests.lab.faults import on

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).parents[2] / "examples"
HARNESS = Path(sys.executable).with_name("harness")
NODES = ("n1", "n2", "n3")
GREEN_WITHIN = 30.0
"""Seconds that nodes may take from SSH to a green `verify`; here even from before the reboot."""

SLOW = """
apiVersion: v1
kind: Pod
metadata: {name: slow, labels: {app: slow}}
spec:
  containers:
    - name: web
      image: nginx
      ports: [{containerPort: 80}]
      readinessProbe: {httpGet: {path: /readyz, port: 80}, initialDelaySeconds: 4, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: slow}
spec: {type: NodePort, selector: {app: slow}, ports: [{port: 80, nodePort: 30055}]}
"""

_STATE = """
ip -4 -brief address | tr -s ' ' | sed 's/@if[0-9]*//' | sort
ip -4 route | sort
sysctl -a --pattern '^net.ipv4.(ip_forward|conf.(all|eth0|cni0))' 2>/dev/null
/usr/local/lib/nodeport/podctl list | python3 -c '
import json, sys
for pod in sorted(json.load(sys.stdin), key=lambda pod: pod["uid"]): print(pod["uid"], pod["state"])'
nft -j list ruleset | python3 -c '
import json, sys
def plain(value):
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in ("handle", "packets", "bytes")}
    return [plain(one) for one in value] if isinstance(value, list) else value
for entry in json.load(sys.stdin)["nftables"]:
    (kind, value), = entry.items()
    if "timeout" in value.get("flags", ()): value.pop("elem", None)  # clients that an affinity remembers
    if kind != "metainfo": print(kind, json.dumps(plain(value), sort_keys=True))' | sort
systemctl is-system-running
"""
"""What a node is made of, in lines that a reboot must not change."""


def harness(folder: Path, *words: str | Path) -> process.Completed:
    done = process.run([HARNESS, "--driver", "nspawn", *words], cwd=folder, timeout=180)
    assert done.ok, done.out[-2000:] + done.err[-2000:]
    return done


def lab(folder: Path) -> Lab:
    return Lab.at(folder, "default", "nspawn")


def cluster_of(folder: Path) -> Cluster:
    cluster = lab(folder).driver.status()
    assert cluster is not None
    return cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three green nodes with Services of every policy, and one whose pods take a while to be ready."""
    made = tmp_path_factory.mktemp("reboots")
    (made / "slow.yaml").write_text(SLOW)
    try:
        harness(made, "run", "-f", EXAMPLES / "policies.yaml", "-f", made / "slow.yaml", "--destroy", "never")
        yield made
    finally:
        lab(made).driver.down(lambda _text: None)


def states(folder: Path) -> dict[str, list[str]]:
    cluster = cluster_of(folder)
    return {node: on(cluster, node, _STATE).splitlines() for node in NODES}


def plays(folder: Path) -> int:
    return len({path.resolve() for path in (lab(folder).home / "runs").glob("*/ansible*")})


@pytest.mark.parametrize("words", [("n2",), pytest.param((), marks=pytest.mark.long), ("--hard",)], ids=" ".join)
def test_what_was_given_comes_back_by_itself(words: tuple[str, ...], folder: Path) -> None:
    before, played = states(folder), plays(folder)
    assert any("30010" in line for line in before["n1"]), "there must be rules to come back"
    cluster = cluster_of(folder)
    boot = boots.identities(cluster, cluster.nodes)
    deadline = clock.Deadline.after(GREEN_WITHIN)
    harness(folder, "reboot", *words)
    harness(folder, "verify")
    assert not deadline.passed()
    again = boots.identities(cluster, cluster.nodes)
    rebooted = {word for word in words if word in NODES} or set(NODES)
    assert {node for node in NODES if again[node] != boot[node]} == rebooted
    assert states(folder) == before
    assert plays(folder) == played, "no Ansible"


def test_up_starts_what_was_switched_off_and_it_is_green(folder: Path) -> None:
    before, played = states(folder), plays(folder)
    for node in NODES:
        process.run([HARNESS, "--driver", "nspawn", "exec", node, "--", "systemctl", "poweroff", "--force"], cwd=folder)

    def off() -> None:
        if running := lab(folder).driver.status():
            raise clock.NotYet(f"{running}")

    clock.until(off, what="a node to be off", within=10)
    deadline = clock.Deadline.after(GREEN_WITHIN)
    harness(folder, "up")
    harness(folder, "verify")
    assert not deadline.passed()
    assert states(folder) == before
    assert plays(folder) == played, "no Ansible"


def test_a_node_that_did_not_reboot_is_not_taken_for_one_that_did(folder: Path) -> None:
    cluster = cluster_of(folder)
    before = boots.identities(cluster, cluster.nodes[:1])
    with pytest.raises(DriverError, match="n1: it has not gone down"):
        boots.until_anew(cluster, before, within=0.5)


def test_a_node_that_is_not_there_is_named(folder: Path) -> None:
    done = process.run([HARNESS, "--driver", "nspawn", "reboot", "n2", "n9"], cwd=folder)
    assert done.code == 2
    assert "there is no node n9" in done.err
    assert "nodes: n1, n2, n3" in done.err


@pytest.mark.long
def test_what_does_not_come_back_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "SECONDS", 2.0)
    harness(folder, "exec", "n2", "--", "systemctl", "disable", "nodeportd")
    with pytest.raises(RemoteError, match=r"^n2: waited 2 s for n2 to run generation 1.*status.json") as failed:
        power.power_cycle(lab(folder), ["n1", "n2"], lambda _event: None)
    own_words = failed.value.message.partition("n2 itself says:")[2]
    assert "nodeportd.service is disabled and inactive" in own_words
    assert re.search(r"/etc/nodeport/state.json has [1-9]\d+ bytes", own_words)
    found = process.run([HARNESS, "--driver", "nspawn", "verify", "--json"], cwd=folder)
    assert found.code == 1
    assert json.loads(found.out)["status"] == "FAIL"


@pytest.mark.long
def test_a_node_that_does_not_boot_is_named_at_once_with_its_console(folder: Path) -> None:
    """Last: it spoils the node."""
    harness(folder, "exec", "n3", "--", "rm", "/usr/lib/systemd/systemd")
    began = clock.monotonic()
    with pytest.raises(
        DriverError, match=r"^n3 does not boot: its machine has ended\nconsole of n3 .*console.log"
    ) as it:
        power.power_cycle(lab(folder), ["n2", "n3"], lambda _event: None)
    assert "harness down" in it.value.hint
    assert clock.monotonic() - began < lab(folder).driver.boot_seconds  # type: ignore[attr-defined]
