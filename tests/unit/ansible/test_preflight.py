"""What preflight says of what the look at a node found; on nodes it is asked by tests/lab/test_preflight.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from tests.playbooks import PLAYBOOKS, load

FILTERS = load(PLAYBOOKS / "filter_plugins/preflight.py").FilterModule().filters()
IN_THE_WAY: Callable[[Mapping[str, Any], Mapping[str, Any], Collection[str]], list[str]]
IN_THE_WAY = FILTERS["nodeport_in_the_way"]
NODE = {
    "address": "192.168.56.11", "address6": "fd00::11", "cluster_range": "10.244.0.0/16",
    "node_ports": ["30008/TCP"], "vxlan": {},
}  # fmt: skip
NOW = 1_800_000_000.0
WALL = {"owner": "nft", "drops": ["to pods"], "table": "inet mine", "chain": "wall", "hook": "forward"}


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are made long before they are judged, when many tests are run."""
    monkeypatch.setattr(time, "time", lambda: NOW)


def found(guest: Mapping[str, Any] | None = None, **other: object) -> dict[str, Any]:
    """What is found on a machine with nothing in the way, but for what is given."""
    well = {"read_only": [], "free": {"/etc": 1 << 30}, "time": NOW, "node_port_rivals": [], "firewalls": []}
    return {
        "systemd": True, "kernel": "6.1.0-18-amd64", "python": "3.11.2", "nft": "1.0.6", "has_address": True,
        "has_address6": True, "foreign_bridge": False, "overlapping": [], "far": [], "vxlan_rivals": [],
        "listening": {"22/TCP": "sshd (process 1)"}, "guest": well | dict(guest or {}),
    } | other  # fmt: skip


def test_nothing_is_in_the_way() -> None:
    assert IN_THE_WAY(found(), NODE, []) == []
    assert IN_THE_WAY(found(nft="", kernel="5.13", python="3.11", guest={"time": NOW - 290}), NODE, []) == []


@pytest.mark.parametrize(
    ("name", "machine", "told"),
    [
        ("systemd", found(systemd=False), "systemd does not run here"),
        ("kernel", found(kernel="5.9.16-1"), "the kernel 5.9.16-1 is too old"),
        ("python", found(python="3.9.2"), "Python 3.9.2 is too old"),
        ("nft", found(nft="1.0.0"), "nft 1.0.0 is too old"),
        ("address", found(has_address=False), "no interface has the address 192.168.56.11: mend nodeport_address in"),
        ("address6", found(has_address6=False), "no interface has the address fd00::11: mend nodeport_address6 in"),
        ("bridge", found(foreign_bridge=True), "there is an interface cni0 that is not ours"),
        ("routes", found(overlapping=["10.244.7.0/24 eth0"]), "the pods, 10.244.0.0/16: remove 10.244.7.0/24 eth0"),
        ("far", found(far=[{"node": "10.0.0.9", "how": "via 10.0.0.1"}]), "10.0.0.9 is not on a network of this node"),
        ("far", found(far=[{"node": "10.0.0.9", "how": ""}]), "10.0.0.9 is nowhere (no route leads to it)"),
        ("vxlan", found(vxlan_rivals=["x has it"]), "the pod network vxlan cannot be, x has it: set"),
        ("ports", found(listening={"30008/TCP": "a (process 7)"}), "nodePorts are taken, 30008/TCP by a (process 7)"),
        ("rivals", found({"node_port_rivals": ["kube-proxy"]}), "something else serves nodePorts here, kube-proxy"),
        ("firewall", found({"firewalls": [WALL]}), "nft insert rule inet mine wall ip daddr 10.244.0.0/16 accept"),
        ("firewall", found({"firewalls": [WALL | {"hook": "input"}]}), "hook input): let these ports through"),
        ("read-only", found({"read_only": ["/etc"]}), "/etc cannot be written: mount it read-write"),
        ("disk", found({"free": {"/etc": 16777215}}), "less than 16 MiB are free at /etc"),
        ("clock", found({"time": NOW - 1e6}), "s behind this machine's"),
        ("clock", found({"time": NOW + 1e6}), "s ahead of this machine's"),
    ],
)
def test_what_is_in_the_way_is_said_unless_it_is_accepted(name: str, machine: dict[str, Any], told: str) -> None:
    (said,) = IN_THE_WAY(machine, NODE, [])
    assert told in said
    assert IN_THE_WAY(machine, NODE, [name]) == []


def test_all_is_said_at_once() -> None:
    assert len(IN_THE_WAY(found({"read_only": ["/etc"]}, nft="0.9.8", has_address=False), NODE, [])) == 3


def test_a_vxlan_needs_no_common_network() -> None:
    far = [{"node": "10.0.0.9", "how": "via 10.0.0.1"}]
    assert IN_THE_WAY(found(far=far), NODE | {"vxlan": {"vni": 1, "port": 4789}}, []) == []


def test_peers_and_ports_are_taken_from_the_plan() -> None:
    routes = [{"to": "10.244.1.0/24", "via": "10.0.0.2"}, {"to": "10.96.0.0/12", "via": "10.244.0.1"}]
    assert FILTERS["nodeport_peers"]({"gateway": "10.244.0.1", "routes": routes}) == ["10.0.0.2"]
    ports = [{"node_port": 30008, "protocol": "UDP"}, {"node_port": 0, "protocol": "TCP"}]
    assert FILTERS["nodeport_taken"]([{"ports": ports}, {"ports": []}]) == ["30008/UDP"]
