"""The commands by which podnet leads from what is to what is wanted."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.playbooks import load

PROGRAM = Path(__file__).parents[3] / "playbooks/roles/pod_network/files/podnet.py"
GATEWAY = ipaddress.IPv4Interface("10.244.0.1/24")
ADDRESS = {"family": "inet", "local": "10.244.0.1", "prefixlen": 24}
RIGHT: dict[str, Any] = {"flags": ["UP"], "mtu": 1500, "addr_info": [ADDRESS]}
NETWORK = {
    "mode": "routes",
    "address": "192.168.56.11",
    "pod_range": "10.244.0.0/24",
    "gateway": "10.244.0.1",
    "routes": [{"to": "10.244.1.0/24", "via": "192.168.56.12"}],
}
VXLAN: dict[str, Any] = {"mode": "vxlan", "vxlan": {"vni": 7, "port": 4789}}


@pytest.fixture(scope="module")
def podnet() -> ModuleType:
    return load(PROGRAM)


@pytest.mark.parametrize(
    ("link", "commands"),
    [
        (RIGHT, []),
        (
            None,
            [
                "link add cni0 address 0a:58:0a:f4:00:01 type bridge",
                "link set cni0 mtu 1500 up",
                "address add 10.244.0.1/24 dev cni0",
            ],
        ),
        ({**RIGHT, "flags": []}, ["link set cni0 mtu 1500 up"]),
        ({**RIGHT, "mtu": 1450}, ["link set cni0 mtu 1500 up"]),
        ({**RIGHT, "addr_info": []}, ["address add 10.244.0.1/24 dev cni0"]),
        (
            {**RIGHT, "addr_info": [{"family": "inet", "local": "10.244.9.1", "prefixlen": 24}]},
            ["address add 10.244.0.1/24 dev cni0", "address delete 10.244.9.1/24 dev cni0"],
        ),
        ({**RIGHT, "addr_info": [ADDRESS, {"family": "inet6", "local": "fe80::1", "prefixlen": 64}]}, []),
    ],
    ids=["right", "none", "down", "another size", "no address", "another address", "with a link-local address"],
)
def test_the_bridge(podnet: ModuleType, link: dict[str, Any] | None, commands: list[str]) -> None:
    assert list(podnet.bridge_changes(GATEWAY, link, 1500)) == commands


@pytest.mark.parametrize(
    ("wanted", "present", "commands"),
    [
        ({"a": "via 1"}, {"a": "via 1"}, []),
        ({"a": "via 1"}, {}, ["route add a via 1 proto 77"]),
        ({"a": "via 1"}, {"a": "via 2"}, ["route replace a via 1 proto 77"]),
        ({"a": "dev cni0"}, {"a": "via 1"}, ["route replace a dev cni0 proto 77"]),
        ({"a::": "via 1"}, {"a::": "via 2"}, ["route delete a:: proto 77", "route add a:: via 1 proto 77"]),
        ({}, {"a": "via 1"}, ["route delete a proto 77"]),
        ({"b": "via 1"}, {"a": "via 1"}, ["route delete a proto 77", "route add b via 1 proto 77"]),
    ],
)
def test_routes(podnet: ModuleType, wanted: dict[str, str], present: dict[str, str], commands: list[str]) -> None:
    assert list(podnet.route_changes(wanted, present)) == commands


def test_our_routes_are_known_by_their_way(podnet: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [
        {"dst": "10.96.0.0/12", "dev": "cni0", "flags": ["linkdown"]},  # no pod is in the bridge
        {"dst": "10.244.1.0/24", "gateway": "192.168.56.12", "dev": "eth0", "flags": []},
        {"dst": "10.244.2.0/24", "gateway": "10.244.2.1", "dev": "nodeport-vxlan", "flags": ["onlink"]},
        {
            "dst": "192.168.57.13",
            "gateway": "10.244.2.1",
            "dev": "nodeport-vxlan",
            "flags": ["onlink"],
            "table": "7744",
        },
    ]
    monkeypatch.setattr(podnet, "ask", lambda *_words: shown)
    tunnel = "via 10.244.2.1 dev nodeport-vxlan onlink"
    assert podnet.our_routes() == (
        {"10.96.0.0/12": "dev cni0", "10.244.1.0/24": "via 192.168.56.12", "10.244.2.0/24": tunnel},
        {"192.168.57.13": tunnel},
    )


def test_the_wanted_network_is_read(podnet: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text(json.dumps(NETWORK))
    network = podnet.wanted(tmp_path / "network.json")
    assert (network.gateway, network.routes) == (GATEWAY, {"10.244.1.0/24": "via 192.168.56.12"})
    (tmp_path / "network.json").write_text(json.dumps(NETWORK | VXLAN))
    network = podnet.wanted(tmp_path / "network.json")
    assert network.vxlan == (7, 4789)
    assert network.routes == {"10.244.1.0/24": "via 10.244.1.1 dev nodeport-vxlan onlink"}


def tunnel(**different: object) -> dict[str, Any]:
    about = {"id": 7, "port": 4789, "local": "192.168.56.11", "learning": False, **different}
    address = {"family": "inet", "local": "10.244.0.1", "prefixlen": 32}
    return {
        "flags": ["UP"], "mtu": 1450, "address": "0a:59:0a:f4:00:01", "addr_info": [address],
        "linkinfo": {"info_kind": "vxlan", "info_data": about},
    }  # fmt: skip


@pytest.mark.parametrize("different", [{"id": 8}, {"port": 8472}, {"local": "192.168.56.12"}, {"learning": True}])
def test_a_vxlan_that_is_another_one_is_known(podnet: ModuleType, tmp_path: Path, different: dict[str, object]) -> None:
    (tmp_path / "network.json").write_text(json.dumps(NETWORK | VXLAN))
    network = podnet.wanted(tmp_path / "network.json")
    assert podnet.is_right(network, tunnel())
    assert not podnet.is_right(network, tunnel(**different))
    assert list(podnet.tunnel_changes(network, tunnel(), 1450)) == []
    assert list(podnet.tunnel_changes(network, None, 1450)) == [
        "link add nodeport-vxlan address 0a:59:0a:f4:00:01 type vxlan id 7 local 192.168.56.11 dstport 4789 nolearning",
        "link set nodeport-vxlan mtu 1450 up",
        "address add 10.244.0.1/32 dev nodeport-vxlan",
    ]


@pytest.mark.parametrize(
    ("known", "table", "commands"),
    [
        ({"10.244.1.1": "0a:59:0a:f4:01:01"}, {"0a:59:0a:f4:01:01": "192.168.56.12"}, []),
        (
            {"10.244.1.1": ""},
            {"0a:59:0a:f4:01:01": "192.168.56.99"},
            [
                "neighbour replace 10.244.1.1 lladdr 0a:59:0a:f4:01:01 dev nodeport-vxlan nud permanent",
                "fdb replace 0a:59:0a:f4:01:01 dev nodeport-vxlan dst 192.168.56.12",
            ],
        ),
        (
            {"10.244.1.1": "0a:59:0a:f4:01:01", "10.244.2.1": "x"},
            {"0a:59:0a:f4:01:01": "192.168.56.12", "x": "192.168.56.13"},
            ["neighbour delete 10.244.2.1 dev nodeport-vxlan", "fdb delete x dev nodeport-vxlan dst 192.168.56.13"],
        ),
    ],
    ids=["right", "wrong", "a node that left"],
)
def test_what_a_vxlan_knows_of_others(
    podnet: ModuleType, tmp_path: Path, known: dict[str, str], table: dict[str, str], commands: list[str]
) -> None:
    (tmp_path / "network.json").write_text(json.dumps(NETWORK | VXLAN))
    network = podnet.wanted(tmp_path / "network.json")
    assert list(podnet.neighbour_changes(network, known, table)) == commands


@pytest.mark.parametrize(
    "change",
    [
        {"gateway": "10.244.1.1"},
        {"gateway": "10.244.0.1 dev eth0"},
        {"pod_range": "10.244.0.1/24"},
        {"pod_range": "fd00::/64"},
        {"routes": [{"to": "10.244.1.0/24", "via": "n2"}]},
        {"routes": [{"to": "10.244.1.0/24\nlink delete eth0", "via": "192.168.56.12"}]},
        {"routes": [{"to": "10.244.1.0/24"}]},
        {"routes": None},
        {"mode": "magic"},
        {"mode": "vxlan"},
        {**VXLAN, "vxlan": {"vni": 1 << 24, "port": 4789}},
        {**VXLAN, "vxlan": {"vni": 1, "port": "4789 dev eth0"}},
    ],
    ids=str,
)
def test_a_network_that_cannot_be_right_is_refused(podnet: ModuleType, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "network.json"
    path.write_text(json.dumps({**NETWORK, **change}))
    with pytest.raises(SystemExit) as ended:
        podnet.wanted(path)
    assert str(ended.value).startswith(f"{path}: ")


SIX: dict[str, Any] = {
    "pod_range": "fd00:10:244::/64",
    "gateway": "fd00:10:244::1",
    "routes": [{"to": "fd00:10:244:1::/64", "via": "fd00::2"}, {"to": "fd00:10:96::/112", "via": "fd00:10:244::1"}],
}
GATEWAY6 = ipaddress.IPv6Interface("fd00:10:244::1/64")


def test_a_network_of_both_families(podnet: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text(json.dumps({**NETWORK, "ipv6": SIX}))
    network = podnet.wanted(tmp_path / "network.json")
    assert network.gateway6 == GATEWAY6
    assert network.routes6 == {"fd00:10:244:1::/64": "via fd00::2", "fd00:10:96::/112": "dev cni0"}
    missing = ["address add fd00:10:244::1/64 dev cni0 nodad"]
    assert list(podnet.address6_changes("cni0", GATEWAY6, RIGHT)) == missing
    both = {**RIGHT, "addr_info": [ADDRESS, {"family": "inet6", "local": "fd00:10:244::1", "prefixlen": 64}]}
    assert list(podnet.address6_changes("cni0", GATEWAY6, both)) == []
    assert list(podnet.address6_changes("cni0", None, both)) == ["address delete fd00:10:244::1/64 dev cni0"]


def test_a_vxlan_of_both_families(podnet: ModuleType, tmp_path: Path) -> None:
    """The gateways of a node have one hardware address, in whichever family."""
    beside = [{**SIX["routes"][0], "beside": "10.244.1.0/24"}, SIX["routes"][1]]
    (tmp_path / "network.json").write_text(json.dumps({**NETWORK, **VXLAN, "ipv6": {**SIX, "routes": beside}}))
    network = podnet.wanted(tmp_path / "network.json")
    through = "via fd00:10:244:1::1 dev nodeport-vxlan onlink"
    assert network.routes6 == {"fd00:10:244:1::/64": through, "fd00:10:96::/112": "dev cni0"}
    mac = "0a:59:0a:f4:01:01"
    known = {"10.244.1.1": mac, "fd00:10:244:2::1": mac}
    assert list(podnet.neighbour_changes(network, known, {mac: "192.168.56.12"})) == [
        "neighbour delete fd00:10:244:2::1 dev nodeport-vxlan",
        f"neighbour replace fd00:10:244:1::1 lladdr {mac} dev nodeport-vxlan nud permanent",
    ]
    assert list(podnet.tunnel_changes(network, tunnel(), 1450)) == [
        "address add fd00:10:244::1/128 dev nodeport-vxlan nodad noprefixroute"
    ]
    (tmp_path / "network.json").write_text(json.dumps({**NETWORK, **VXLAN, "ipv6": SIX}))
    with pytest.raises(SystemExit, match="not a pod network"):
        podnet.wanted(tmp_path / "network.json")


@pytest.mark.parametrize(
    "change",
    [
        {"gateway": "10.244.0.1"},
        {"gateway": "fd00:10:245::1"},
        {"pod_range": "10.244.0.0/24"},
        {"routes": NETWORK["routes"]},
        {"routes": [{"to": "fd00:10:244:1::/64", "via": "fd00::2%eth0"}]},
    ],
    ids=str,
)
def test_families_do_not_mix(podnet: ModuleType, tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "network.json").write_text(json.dumps({**NETWORK, "ipv6": {**SIX, **change}}))
    with pytest.raises(SystemExit, match="not a pod network"):
        podnet.wanted(tmp_path / "network.json")
