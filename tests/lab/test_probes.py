"""Probers and questions on real nodes, over their own sshd: two fresh nodes, to which nothing was applied."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import probes
from harness.errors import RemoteError
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, Job, NodeFacts, Outcome, Target
from harness.model.plan import Plan, PlannedNode, PlannedPod
from harness.model.workload import Protocol
from harness.probes import prober
from harness.probes.ssh import Connection
from harness.probes.transport import SshStreams
from harness.session import remote
from harness.support import clock
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_nodes(tmp_path_factory.mktemp("prb"), 2) as lab:
        yield lab.cluster()


def on(cluster: Cluster, node: str, script: str) -> str:
    """Run a script on a node; it has to succeed."""
    done = remote.run(cluster, node, ["sh", "-euc", script])
    assert done.ok, done.err
    return done.out


def sshd(cluster: Cluster, node: str) -> Target:
    """Something that listens on every node."""
    return Target(node, {node.name: node.address for node in cluster.nodes}[node], 22, Protocol.TCP)


def no_program_runs(cluster: Cluster, node: str) -> None:
    running = [line for line in on(cluster, node, "ps -e -o args").splitlines() if "sys.stdin.buffer" in line]
    if running:
        raise clock.NotYet(running[0])


def test_every_vantage_point_at_once_and_a_node_that_is_not_there(cluster: Cluster) -> None:
    vantages = (OUTSIDE, "n1", "n2", "n9")
    jobs = {
        vantage: [
            Job(vantage, replace(sshd(cluster, node), port=port), 25) for node in ("n1", "n2") for port in (22, 9)
        ]
        for vantage in vantages
    }
    with probes.open_probers(cluster, vantages) as probers:
        asked = probers.ask(jobs)
        assert list(probers.lost) == ["n9"]
        assert probers.lost["n9"].startswith("n9: SSH does not answer: ")
    assert asked.lost == {}
    found = Counter((attempt.vantage, attempt.target.node, attempt.outcome) for attempt in asked.attempts)
    outcomes = {22: Outcome.BAD_ANSWER, 9: Outcome.REFUSED}
    assert found == {
        (vantage, node, outcome): 25
        for vantage in vantages[:3]
        for node in ("n1", "n2")
        for outcome in outcomes.values()
    }
    assert "not HTTP: b'SSH-2.0-OpenSSH" in {attempt.detail[:27] for attempt in asked.attempts}
    clock.until(lambda: no_program_runs(cluster, "n1"), what="the end of the probe program on n1", within=5)


def test_a_program_that_dies_on_its_node_is_lost_by_name_and_the_others_go_on(cluster: Cluster) -> None:
    with probes.open_probers(cluster, ("n1", "n2")) as probers:
        on(cluster, "n1", "kill -9 $(ps -e -o pid,args | awk '/[s]ys.stdin.buffer/ {print $1}')")
        asked = probers.ask({name: [Job(name, sshd(cluster, name), 3)] for name in ("n1", "n2")})
        assert {attempt.vantage for attempt in asked.attempts} == {"n2"}
        assert asked.lost == {"n1": "n1: the probe program is gone: it ended without a word"}
        assert probers.lost == asked.lost
        assert probers.ask({"n1": [Job("n1", sshd(cluster, "n1"), 3)]}).attempts == ()


def test_a_host_key_that_is_not_known_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    lines = cluster.ssh_config.read_text().splitlines()
    kept = [line if "UserKnownHostsFile" not in line else f"  UserKnownHostsFile {known}" for line in lines]
    (tmp_path / "ssh_config").write_text("\n".join(kept) + "\n")
    with pytest.raises(RemoteError, match=r"n1: SSH does not answer: Server '192.168.56.11' not found in known_hosts"):
        Connection(tmp_path / "ssh_config", "n1")


def test_a_key_of_another_host_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    known = Path(
        next(line.split()[1] for line in cluster.ssh_config.read_text().splitlines() if "UserKnownHosts" in line)
    )
    keys = [line.split()[1:] for line in known.read_text().splitlines()]
    (tmp_path / "known_hosts").write_text(f"192.168.56.11 {' '.join(keys[1])}\n")
    (tmp_path / "ssh_config").write_text(
        cluster.ssh_config.read_text().replace(str(known), str(tmp_path / "known_hosts"))
    )
    with pytest.raises(
        RemoteError, match=r"n1: SSH does not answer: Host key for server '192.168.56.11' does not match"
    ):
        Connection(tmp_path / "ssh_config", "n1")


def test_an_ordinary_proxy_command(cluster: Cluster, tmp_path: Path) -> None:
    lines = cluster.ssh_config.read_text().splitlines()
    kept = [line for line in lines if "ProxyUseFdpass" not in line and "ProxyCommand" not in line]
    jump = f"ssh -F {cluster.ssh_config} -o ControlPath=none -W %h:%p n2"
    (tmp_path / "ssh_config").write_text("\n".join([*kept, f"  ProxyCommand {jump}"]) + "\n")
    streams = SshStreams(replace(cluster, ssh_config=tmp_path / "ssh_config"), "n1")
    live = prober.Prober("n1", streams)
    try:
        (attempt,) = live.run([Job("n1", sshd(cluster, "n1"), 1)])
    finally:
        live.close()
    assert attempt.outcome is Outcome.BAD_ANSWER


def test_within_another_namespace_of_a_node(cluster: Cluster) -> None:
    on(cluster, "n1", "ip netns add elsewhere")
    try:
        live = prober.Prober("elsewhere", SshStreams(cluster, "n1", ("ip", "netns", "exec", "elsewhere")))
        try:
            (attempt,) = live.run([Job("elsewhere", sshd(cluster, "n2"), 1)])
        finally:
            live.close()
    finally:
        on(cluster, "n1", "ip netns delete elsewhere")
    assert (attempt.outcome, attempt.detail) == (Outcome.UNREACHABLE, "ENETUNREACH: Network is unreachable")


def plan_for(cluster: Cluster) -> Plan:
    nodes = tuple(PlannedNode(node.name, node.address, f"10.244.{at}.0/24") for at, node in enumerate(cluster.nodes))
    pod = PlannedPod("default", "web", "u1", "n1", "10.244.0.2", {}, (), ())
    return Plan(cluster.uid, 3, nodes, (pod,), ())


def facts_of(cluster: Cluster) -> dict[str, NodeFacts]:
    return {facts.node: facts for facts in probes.ask(cluster, plan_for(cluster))}


def test_a_fresh_node_says_what_it_lacks(cluster: Cluster) -> None:
    facts = facts_of(cluster)
    assert list(facts) == ["n1", "n2"]
    n1 = facts["n1"]
    assert n1.reachable
    assert n1.versions.kernel == on(cluster, "n1", "uname -r").strip()
    assert (n1.generation, n1.forwarder_running, n1.table_present, n1.masquerade_present) == (None, False, False, False)
    assert n1.missing_routes == ("10.244.0.0/24 dev cni0", "10.244.1.0/24 via 192.168.56.12")
    assert (n1.pods_not_running, facts["n2"].pods_not_running) == (("default/web",), ())
    assert n1.foreign_drops == ()


def test_what_is_changed_on_a_node_is_seen_on_that_node(cluster: Cluster) -> None:
    on(
        cluster,
        "n2",
        "sysctl -qw net.ipv4.ip_forward=1; ip route add 10.244.0.0/24 via 192.168.56.11;"
        "nft add table ip nodeport; nft add table inet flt;"
        "nft 'add chain inet flt fw { type filter hook forward priority 0; policy drop; }';"
        "nft add rule inet flt fw tcp dport 80 reject; mkdir -p /run/nodeport;"
        """echo '{"generation": 2, "error": "endpoint 10.244.0.9 is odd"}' > /run/nodeport/status.json""",
    )
    n2 = facts_of(cluster)["n2"]
    on(cluster, "n2", "nft delete table inet flt; nft delete table ip nodeport; rm /run/nodeport/status.json")
    assert (n2.ip_forward, n2.table_present, n2.masquerade_present) == (True, True, False)
    assert n2.missing_routes == ("10.244.1.0/24 dev cni0",)
    assert (n2.generation, n2.forwarder_error) == (2, "endpoint 10.244.0.9 is odd")
    assert n2.foreign_drops == (
        "inet flt fw (hook forward): policy drop",
        "inet flt fw (hook forward): tcp dport 80 reject",
    )


def test_a_status_that_cannot_be_read_is_a_fault_of_the_forwarder_not_of_the_node(cluster: Cluster) -> None:
    on(cluster, "n2", "mkdir -p /run/nodeport; echo '{\"gen' > /run/nodeport/status.json")
    n2 = facts_of(cluster)["n2"]
    on(cluster, "n2", "rm /run/nodeport/status.json")
    assert n2.reachable
    assert n2.forwarder_error.startswith("/run/nodeport/status.json cannot be read: ")


def test_a_node_that_is_not_there_and_one_that_cannot_answer_are_values(cluster: Cluster) -> None:
    on(cluster, "n2", "mv /usr/sbin/nft /usr/sbin/nft.away")
    try:
        gone = replace(cluster.nodes[0], name="n9")
        facts = {
            told.node: told for told in probes.ask(replace(cluster, nodes=(*cluster.nodes, gone)), plan_for(cluster))
        }
    finally:
        on(cluster, "n2", "mv /usr/sbin/nft.away /usr/sbin/nft")
    assert facts["n1"].reachable
    assert not facts["n9"].reachable
    assert facts["n9"].error
    assert not facts["n2"].reachable
    assert facts["n2"].error.startswith("`nft -s -t list ruleset` failed: ")


def test_a_node_that_falls_silent_is_given_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, "SILENCE_SECONDS", 2.0)
    on(cluster, "n2", "nft add table inet cut; nft 'add chain inet cut in { type filter hook input priority -300; }'")
    with probes.open_probers(cluster, ("n2",)) as probers:
        jobs = {"n2": [Job("n2", Target("n1", "192.168.56.99", 80, Protocol.TCP), 200)]}
        cut = threading.Timer(0.5, on, (cluster, "n2", CUT_FOR_A_WHILE))
        cut.start()
        asked = probers.ask(jobs)
        cut.join()
    assert asked.lost == {"n2": "n2: the probe program is gone: it was silent for 2 s"}


CUT_FOR_A_WHILE = (
    "systemd-run -q --no-block sh -c 'nft add rule inet cut in tcp dport 22 drop; sleep 5; nft delete table inet cut'"
)
