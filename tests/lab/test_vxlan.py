"""Nodes on two networks with a strict router between them: pods meet over VXLAN, provably, and faults are named."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.drivers import Power, Wish, boots
from harness.session.lab import Lab
from harness.support import process
from tests.lab.faults import UNDISTURBED
from tests.lab.foreign import WEB_APP, Foreign
from tests.lab.test_reset import DUMP, difference

pytestmark = pytest.mark.lab

STRICT = "sysctl -qw net.ipv4.conf.all.rp_filter=1"
TRACES = """
ip -brief link show type vxlan; ip rule; cat /sys/class/net/cni0/mtu; ip route show table all proto 77 | sort
"""
ALTER = {
    "the link is down": ("ip link set nodeport-vxlan down", "! ip link show nodeport-vxlan up | grep -q ."),
    "a node is thought to be elsewhere": (
        ("for mac in $(bridge fdb show dev nodeport-vxlan | cut -d' ' -f1); do"
        " bridge fdb replace $mac dev nodeport-vxlan dst 192.168.56.99; done"),
        "bridge fdb show dev nodeport-vxlan | grep -q 192.168.56.99",
    ),
    "a firewall drops its packets": (
        ("nft 'add table inet mine; add chain inet mine in { type filter hook input priority 0; };"
        " add rule inet mine in udp dport 4789 counter drop'"),
        "for i in $(seq 200); do nft list ruleset | grep -q 'packets [1-9].*drop' && exit 0; sleep 0.1; done; exit 1",
    ),
}  # fmt: skip
BIG = textwrap.dedent("""\
    import json, sys, urllib.request
    seen, size = set(), 12000
    for attempt in range(200):
        answer = urllib.request.urlopen(f"http://{sys.argv[1]}/echo?msg=" + "x" * size, timeout=5)
        assert len(answer.read()) == size
        seen.add(answer.headers["Nodeport-Pod"])
        if len(seen) == 3: break
    print(len(seen))
    """)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    lab = Lab.at(tmp_path_factory.mktemp("vxlan"), "vxlan", "nspawn")
    try:
        foreign = Foreign(
            lab.driver.up(Wish(3, subnets=2, dual_stack=True), lambda _text: None), tmp_path_factory.mktemp("user")
        )
        for name in "abc":
            foreign.on(name, f"{STRICT}; systemctl is-system-running --wait || true", timeout=60)
        yield foreign
    finally:
        lab.driver.down(lambda _text: None)


@pytest.fixture(scope="module")
def before(foreign: Foreign) -> dict[str, list[str]]:
    return dump(foreign)


@pytest.fixture(scope="module")
def proven(foreign: Foreign, before: dict[str, list[str]]) -> Path:
    """The machines' inventory, on which a run has passed."""
    assert before
    source = foreign.inventory(nodeport_pod_network="vxlan")
    done = foreign.harness("run", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err
    return source


def dump(foreign: Foreign) -> dict[str, list[str]]:
    # The number of the cable's other end is another one after a power cut.
    return {name: re.sub(r"@if\d+", "", foreign.on(name, DUMP, timeout=60)).splitlines() for name in "abc"}


def test_routes_between_two_networks_are_refused_before_anything_is_changed(
    foreign: Foreign, before: dict[str, list[str]]
) -> None:
    assert [node.address for node in foreign.machines.nodes] == ["192.168.56.11", "192.168.57.12", "192.168.56.13"]
    done = foreign.harness("apply", "-f", WEB_APP, inventory=foreign.inventory())
    assert done.code == 4
    told = " ".join(done.err.split())
    assert (
        "b: Nothing is in the way: failed: the node 192.168.56.11 is not on a network of this node (by way of "
        "192.168.57.1): routes to its pods cannot be, take the pod network vxlan"
    ) in told
    assert difference(before, dump(foreign)) == []


@pytest.mark.long
def test_a_second_apply_changes_nothing(foreign: Foreign, proven: Path) -> None:
    done = foreign.harness("apply", "-f", WEB_APP, inventory=proven)
    assert done.code == 0, done.err
    assert "0 tasks changed something" in done.err


def test_a_mode_that_is_refused_leaves_all_as_it_was(foreign: Foreign, proven: Path) -> None:
    done = foreign.harness("apply", "-f", WEB_APP, "--pod-network", "routes", inventory=proven)
    assert done.code == 4, done.err
    done = foreign.harness("verify", inventory=proven)
    assert done.code == 0, done.out


def test_large_answers_and_requests_arrive_whole(foreign: Foreign, proven: Path) -> None:
    assert proven.exists()
    sizes = {foreign.on(name, "cat /sys/class/net/cni0/mtu /sys/class/net/nodeport-vxlan/mtu") for name in "abc"}
    assert sizes == {"1450\n1450\n"}
    for node in foreign.machines.nodes:
        place = f"{node.address}:30008"
        enter = ["nsenter", f"--net={foreign.machines.client_netns}"]
        from_outside = process.run([*enter, "python3", "-c", BIG, place], timeout=60)
        assert from_outside.out == "3\n", from_outside.err
        for name in "ab":
            assert foreign.on(name, f"python3 - {place} <<'EOF'\n{BIG}EOF\n") == "3\n"
            pod = foreign.on(name, "ls /run/netns | grep -m1 pod-").strip()
            assert foreign.on(name, f"ip netns exec {pod} python3 - {place} <<'EOF'\n{BIG}EOF\n") == "3\n"


def test_both_families_go_through_it_and_one_that_does_not_is_red(foreign: Foreign, proven: Path) -> None:
    dual = foreign.folder / "dual.yaml"
    dual.write_text(
        Path(WEB_APP).read_text().replace("type: NodePort", "type: NodePort\n  ipFamilyPolicy: PreferDualStack")
    )
    done = foreign.harness("run", "-f", dual, inventory=proven)
    assert done.code == 0, done.out + done.err
    foreign.on("a", "ip -6 neighbour flush dev nodeport-vxlan nud permanent")
    try:
        done = foreign.harness("verify", "--focus", "^(coverage|answers): (outside|[abc]) ", inventory=proven)
    finally:
        foreign.on("a", "systemctl reload nodeport-network.service")
    assert done.code == 1
    red = [line for line in done.out.splitlines() if line.startswith("✗ ") and "PASS" not in line and ":" in line]
    assert red, done.out
    assert all("(IPv6)" in line for line in red if "node-state" not in line), done.out
    for name in "abc":
        foreign.on(name, f"conntrack -F 2>/dev/null || true; {UNDISTURBED}")
    assert foreign.harness("apply", "-f", WEB_APP, inventory=proven).code == 0


@pytest.mark.parametrize(
    "fault", ["the link is down", *(pytest.param(each, marks=pytest.mark.long) for each in list(ALTER)[1:])]
)
def test_a_vxlan_that_is_broken_is_named(foreign: Foreign, proven: Path, fault: str) -> None:
    breaks, proof = ALTER[fault]
    try:
        foreign.on("a", breaks)
        foreign.on("a", proof)
        done = foreign.harness("verify", inventory=proven)
        assert done.code == 1
        assert "The VXLAN of a does not carry what pods and nodes send each other" in done.out
        assert done.out.count("▸") == 1, done.out
    finally:
        foreign.on("a", "nft delete table inet mine 2>/dev/null || true; systemctl reload nodeport-network.service")
    for name in "abc":
        foreign.on(name, f"conntrack -F 2>/dev/null || true; {UNDISTURBED}")
    done = foreign.harness("verify", inventory=proven)
    assert done.code == 0, done.out


def test_full_packets_that_are_lost_are_found(foreign: Foreign, proven: Path) -> None:
    """As on a path that takes less than its ends think, and whose ICMP is dropped."""
    chain = "add table inet mine; add chain inet mine in { type filter hook input priority 0; }"
    foreign.on("a", f"nft '{chain}; add rule inet mine in udp dport 4789 meta length > 1400 counter drop'")
    try:
        done = foreign.harness("verify", inventory=proven)
        assert "packets 0 " not in foreign.on("a", "nft list table inet mine")
    finally:
        foreign.on("a", "nft delete table inet mine")
    assert done.code == 1
    assert "loses full packets: 30008/TCP with large requests" in done.out
    assert done.out.count("▸") == done.out.count("loses full packets"), done.out


def test_it_comes_back_after_a_power_cut(foreign: Foreign, proven: Path) -> None:
    driver = Lab.at(foreign.machines.inventory.parents[2], "vxlan", "nspawn").driver
    assert isinstance(driver, Power)
    victims = foreign.machines.nodes[:2]
    began = boots.identities(foreign.machines, victims)
    driver.power_cycle(victims, lambda _text: None)
    boots.until_anew(foreign.machines, began, within=60)
    for name in "ab":
        foreign.on(name, STRICT)
    done = foreign.harness("verify", inventory=proven)
    assert done.code == 0, done.out


def test_reset_leaves_nothing(foreign: Foreign, proven: Path, before: dict[str, list[str]]) -> None:
    during = difference(before, dump(foreign))
    assert any("nodeport-vxlan" in line for line in during), "the comparison sees what we do"
    done = foreign.play("reset.yml", inventory=proven)
    assert done.ok, done.out
    left = difference(before, dump(foreign))
    assert not left, "\n".join(left)


@pytest.mark.long
def test_preflight_says_what_is_in_the_way_of_a_vxlan(foreign: Foreign, before: dict[str, list[str]]) -> None:
    assert before
    source = foreign.inventory(nodeport_pod_network="vxlan")
    foreign.on("a", "ip link add theirs type vxlan id 4096 dstport 4789 local 192.168.56.11")
    listens = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 4789)); time.sleep(3600)"
    foreign.on("b", f'systemd-run --quiet --unit=theirs --service-type=exec python3 -c "{listens}"')
    foreign.on("b", "for i in $(seq 100); do ss -Hlun | grep -q :4789 && exit 0; sleep 0.05; done; exit 1")
    foreign.on("c", ALTER["a firewall drops its packets"][0])
    try:
        done = foreign.harness("apply", "-f", WEB_APP, inventory=source)
    finally:
        foreign.on("a", "ip link delete theirs")
        foreign.on("b", "systemctl stop theirs.service")
        foreign.on("c", "nft delete table inet mine")
    assert done.code == 4
    told = " ".join(done.err.split())
    assert (
        "the VXLAN theirs has the number 4096 at UDP port 4789: set pod_network_vni or pod_network_vxlan_port" in told
    )
    assert "UDP port 4789 is taken by python3 (process " in told
    assert "the firewall nft drops what comes by VXLAN (UDP port 4789) between 192.168.56.13 and 192.168.56.11" in told
    again = foreign.harness("run", "-f", WEB_APP, inventory=foreign.inventory(
        nodeport_pod_network="vxlan", pod_network_vni=77, pod_network_vxlan_port=8472,
    ))  # fmt: skip
    assert again.code == 0, again.out + again.err
    assert "vxlan id 77 " in foreign.on("a", "ip -details link show nodeport-vxlan")
    assert foreign.play("reset.yml", inventory=source).ok


@pytest.mark.long
def test_running_nodes_are_switched_and_nothing_of_the_other_mode_is_left(foreign: Foreign) -> None:
    source = foreign.inventory()
    known = yaml.safe_load(source.read_text())
    known["nodes"]["hosts"] = {name: known["nodes"]["hosts"][name] for name in "ac"}  # on one network
    source.write_text(yaml.safe_dump(known))
    seen = []
    for mode in ("routes", "vxlan", "", "routes"):
        words = ("--pod-network", mode) if mode else ()
        done = foreign.harness("run", "-f", WEB_APP, *words, inventory=source)
        assert done.code == 0, done.out + done.err
        seen.append(foreign.on("a", TRACES))
    routes, vxlan, kept, back = seen
    assert back == routes
    assert "via 192.168.56.13" in routes
    assert kept == vxlan
    assert "via 192.168.56.13" not in vxlan
    assert "nodeport-vxlan" in vxlan
