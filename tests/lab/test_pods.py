"""Pods on a real node: made, found right, replaced, mended, removed; and what preflight says before all that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.converge import runner
from harness.errors import ConvergeError
from harness.model.cluster import Cluster
from harness.model.progress import silent
from harness.session import remote
from harness.support import clock
from tests.lab.labs import with_nodes
from tests.lab.nodeportd_rig import port, service, whole

pytestmark = pytest.mark.lab

PODCTL = "/usr/local/lib/nodeport/podctl"
START = "Start the pods that are missing, replace those that changed, remove those that are not wanted"
MANY = 25
LONGEST = f"{'a' * 125}.{'b' * 127}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_nodes(tmp_path_factory.mktemp("pods"), 1) as lab:
        yield lab.cluster()


@pytest.fixture(scope="module", autouse=True)
def _converged(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    apply(cluster, tmp_path_factory.mktemp("first"), [])


def pod(number: int, name: str = "web", namespace: str = "default", **other: object) -> dict[str, Any]:
    listens = [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    made = {"name": name, "namespace": namespace, "uid": f"uid-{number}", "address": f"10.244.0.{number}"}
    return {**made, "listens": listens, "termination_grace_period_seconds": 5, **other}


def apply(cluster: Cluster, folder: Path, pods: list[dict[str, Any]], *, node_ports: tuple[int, ...] = ()) -> set[str]:
    """Converge the node to these pods; gives the names of the tasks that changed something."""
    (node,) = cluster.nodes
    network = {"pod_range": "10.244.0.0/24", "gateway": "10.244.0.1", "cluster_range": "10.244.0.0/16", "routes": []}
    services = [service(f"s{number}", port(number)) for number in node_ports]
    wanted = {
        "network": {"node": node.name, "address": node.address, **network},
        "pods": pods,
        "forwarder": {**whole(1, *services, addresses=[node.address]), "node": node.name},
    }
    variables = folder / "plan.json"
    variables.write_text(json.dumps({"nodeport_generation": 1, "nodeport_nodes": {node.name: wanted}}))
    done = runner.play("site.yml", cluster, variables, folder / "log", silent)
    return {task.task.rpartition(" : ")[2] for task in done.changed}


def on(cluster: Cluster, script: str) -> str:
    done = remote.run(cluster, cluster.nodes[0].name, ["sh", "-euc", script], timeout=60)
    assert done.ok, f"{script}: {done.err}{done.out}"
    return done.out.strip()


def sync(cluster: Cluster, pods: list[dict[str, Any]]) -> Any:
    """Have the node run these pods without asking Ansible; gives what podctl says that it changed."""
    return json.loads(on(cluster, f"cat >/etc/nodeport/pods.json <<'END'\n{json.dumps(pods)}\nEND\n{PODCTL} sync"))


def told(cluster: Cluster, verb: str) -> Any:
    return json.loads(on(cluster, f"{PODCTL} {verb}"))


def running(cluster: Cluster) -> dict[str, str]:
    return {f"{entry['namespace']}/{entry['name']}": entry["state"] for entry in told(cluster, "list")}


def test_many_pods_are_made_at_once_and_found_right(cluster: Cluster, tmp_path: Path) -> None:
    pods = [pod(number, f"web-{number}") for number in range(10, 10 + MANY)]
    began = clock.monotonic()
    assert len(sync(cluster, pods)["started"]) == MANY
    assert clock.monotonic() - began < 10, "a bound for a busy machine; about 1 s on a quiet one"
    assert running(cluster) == {f"default/web-{number}": "active" for number in range(10, 10 + MANY)}
    assert told(cluster, "check") == {}
    assert apply(cluster, tmp_path, pods) == {START}, "the same pods, written otherwise"
    assert apply(cluster, tmp_path, pods) == set()


def test_names_may_be_as_long_and_as_alike_as_kubernetes_lets_them(cluster: Cluster) -> None:
    sync(cluster, [pod(10, LONGEST), pod(11), pod(12, namespace="other"), pod(13, "silent", listens=[])])
    assert running(cluster) == {f"default/{LONGEST}": "active", "default/web": "active", "other/web": "active",
                                "default/silent": "active"}  # fmt: skip
    assert on(cluster, "curl -sS -m 5 10.244.0.10/hostname") == LONGEST
    for number in (11, 12):
        assert f"nodeport-pod-uid: uid-{number}" in on(cluster, f"curl -sSi -m 5 10.244.0.{number}").lower()
    assert len(on(cluster, "ip netns").splitlines()) == 4
    assert on(cluster, f"{PODCTL} exec other/web -- ip -br address show eth0").split()[2] == "10.244.0.12/32"


def test_a_pod_with_another_uid_replaces_it_and_is_reached_at_once(cluster: Cluster) -> None:
    other = pod(12, "other")  # with it the bridge keeps its carrier, and the node keeps what it knows of neighbours
    sync(cluster, [pod(11), other])
    on(cluster, "curl -sS -m 5 10.244.0.11")
    before = {entry["name"]: entry["since_boot"] for entry in told(cluster, "list")}
    assert sync(cluster, [pod(11, uid="another"), other]) == {"replaced": ["default/web"]}
    said = on(cluster, r"curl -sSi -m 5 -w '\ntook %{time_connect}' 10.244.0.11")
    assert "Nodeport-Pod-Uid: another" in said
    assert float(said.rpartition("took ")[2]) < 0.9, "neighbours must know the new pod by the old hardware address"
    after = {entry["name"]: entry["since_boot"] for entry in told(cluster, "list")}
    assert after["web"] > before["web"]
    assert after["other"] == before["other"], "left alone"


@pytest.mark.parametrize(
    "harm",
    [
        "systemctl stop 'nodeport-pod@*'",
        "ip link set pod$(cd /run/netns; ls | cut -d- -f2) down",
        "ip link set pod$(cd /run/netns; ls | cut -d- -f2) nomaster",
        "ip -n $(cd /run/netns; ls) route delete default",
        "cd /run/netns; for verb in 'add 10.244.0.99/32' 'delete 10.244.0.11/32'; do ip -n * addr $verb dev eth0; done",
        pytest.param("ip -n $(cd /run/netns; ls) addr add 10.244.0.11/24 dev eth0", id="a pod of an earlier version"),
        "ip link delete cni0",
        "ip netns delete $(cd /run/netns; ls)",
        "rm -r /run/systemd/system/nodeport-pod@*.d",
    ],
)
def test_what_befell_a_pod_is_mended(harm: str, cluster: Cluster, tmp_path: Path) -> None:
    sync(cluster, [pod(11)])
    on(cluster, harm)
    assert told(cluster, "check") == {"replaced": ["default/web"]}
    assert START in apply(cluster, tmp_path, [pod(11)])
    assert on(cluster, "curl -sS -m 5 10.244.0.11/hostname") == "web"
    assert told(cluster, "check") == {}


def test_a_pod_that_dies_comes_back_by_itself(cluster: Cluster) -> None:
    sync(cluster, [pod(11)])
    on(cluster, "curl -s -m 5 10.244.0.11/shutdown || true")

    def back() -> None:
        (entry,) = told(cluster, "list")
        if (entry["state"], entry["restarts"] > 0) != ("active", True):
            raise clock.NotYet(str(entry))

    clock.until(back, what="the pod to come back", within=15)
    assert on(cluster, "curl -sS -m 5 10.244.0.11/hostname") == "web"


def test_pods_that_nobody_wants_are_gone(cluster: Cluster) -> None:
    sync(cluster, [pod(11), pod(12, "other")])
    assert sync(cluster, [pod(12, "other")]) == {"removed": ["default/web"]}
    assert running(cluster) == {"default/other": "active"}
    assert len(on(cluster, "ip netns").splitlines()) == 1
    assert on(cluster, "systemctl list-units --all --no-legend --plain 'nodeport-pod@*' | wc -l") == "1"


def test_everything_in_the_way_is_said_at_once_and_nothing_is_changed(cluster: Cluster, tmp_path: Path) -> None:
    apply(cluster, tmp_path, [pod(11)])
    serve = "import socket, time; s = socket.create_server(('', 30009)); time.sleep(600)"
    on(
        cluster,
        f'systemd-run --quiet --unit=taker python3 -c "{serve}"; ip route add 10.244.77.0/24 dev lo;'
        " for i in $(seq 500); do ss -Hltn | grep -q :30009 && exit 0; done; exit 1",
    )
    try:
        with pytest.raises(ConvergeError) as failed:
            apply(cluster, tmp_path, [pod(12)], node_ports=(30009, 30010))
    finally:
        on(cluster, "systemctl stop taker; ip route delete 10.244.77.0/24")
    said = str(failed.value)
    assert "routes that are not ours lead into the range of the pods, 10.244.0.0/16: remove 10.244.77.0/24 lo" in said
    assert "nodePorts are taken, 30009/TCP by python3 (process " in said
    assert "30010" not in said
    assert apply(cluster, tmp_path, [pod(11)]) == set()


def test_a_route_of_somebody_else_is_never_touched(cluster: Cluster, tmp_path: Path) -> None:
    apply(cluster, tmp_path, [])
    on(cluster, "ip route add 198.51.100.0/24 dev lo; ip route add 203.0.113.0/24 dev lo proto 77")
    try:
        assert "Bring the pod network to what is wanted" in apply(cluster, tmp_path, [])
        routes = on(cluster, "ip route")
        assert "198.51.100.0/24" in routes
        assert "203.0.113.0/24" not in routes, "with our mark, but not wanted"
    finally:
        on(cluster, "ip route delete 198.51.100.0/24")


HELD = """
import pathlib, socket
line = socket.create_connection(("10.244.0.11", 80))
line.sendall(b"POST / HTTP/1.1\\r\\nContent-Length: 2\\r\\n\\r\\nx")
pathlib.Path("/run/held").write_text("begun")
try: end = line.recv(1000)
except OSError as error: end = error
pathlib.Path("/run/held").write_text(repr(end))
"""


def test_a_pod_that_does_not_end_has_its_grace_period_and_no_more(cluster: Cluster) -> None:
    """Others need not wait for it, unless they have its address."""
    sync(cluster, [pod(11, termination_grace_period_seconds=3)])
    on(
        cluster,
        f"rm -f /run/held; systemd-run --quiet --unit=holder python3 -c '{HELD}';"
        " for i in $(seq 500); do test -e /run/held && exit 0; sleep 0.02; done; exit 1",
    )
    write = f"cat >/etc/nodeport/pods.json <<'END'\n{json.dumps([pod(12, 'other')])}\nEND\n"
    script = (
        f"{write} began=$(date +%s%N); {PODCTL} sync >/run/said & "
        "for i in $(seq 500); do curl -sSm 1 10.244.0.12/hostname 2>/dev/null && break; sleep 0.02; done;"
        " echo; cat /run/held; echo; wait; echo $((($(date +%s%N) - began) / 1000000)); cat /run/said /run/held"
    )
    answer, then, took, said, now = on(cluster, script).splitlines()
    assert (answer, then) == ("other", "begun"), "the new pod serves while the old one ends"
    assert json.loads(said) == {"started": ["default/other"], "removed": ["default/web"]}
    assert int(took) >= 3000
    assert now in ("b''", "ConnectionResetError(104, 'Connection reset by peer')"), "killed in the end"
