"""What preflight makes of other people's firewalls: rules as firewalld, ufw and Docker really write them; corners."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

guest = importlib.import_module("guest")
REAL = Path(__file__).parents[2] / "cases" / "firewall"
LOCAL = "from outside to a pod of this node"
ACROSS = "from another node to a pod of this node"
BACK = "back from pods of this node"
HERE = "back to this node from a pod of its own"
REMOTE = "from outside to a pod of another node"


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a ruleset blocks: chain → what it drops; ``backend`` is the node's forwarder."""
    monkeypatch.setattr(guest, "interface", lambda _address: "eth0")

    def blocked(
        text: str, backend: str = "nftables", *, alone: bool = False, vxlan_port: int = 0
    ) -> dict[str, list[str]]:
        tables = (guest.firewall.from_nft if text.startswith("{") else guest.firewall.from_iptables)(text)
        settings = {
            "address": "192.0.2.1",
            "cluster_range": "10.244.0.0/16",
            "node_ports": ["30008/TCP", "30053/UDP"],
            "backend": backend,
            "alone": alone,
            "peers": [] if alone else ["192.0.2.2"],
            "vxlan_port": vxlan_port,
        }
        return {found["chain"]: found["drops"] for found in guest.blocking(tables, set(), guest.packets(settings))}

    return blocked


def saved(*rules: str, policy: str = "DROP") -> str:
    return "\n".join(["*filter", f":FORWARD {policy} [0:0]", ":OTHER - [0:0]", *rules, "COMMIT"])


def nft(*expressions: list[dict[str, object]], hook: str = "forward", policy: str = "accept") -> str:
    chain = {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    rules = [{"rule": {"family": "inet", "table": "t", "chain": "c", "expr": each}} for each in expressions]
    return json.dumps({"nftables": [{"chain": chain}, *rules]})


def match(left: object, right: object, op: str = "==") -> dict[str, object]:
    return {"match": {"op": op, "left": left, "right": right}}


def port(field: str = "dport") -> dict[str, object]:
    return {"payload": {"protocol": "tcp", "field": field}}


IIF = {"meta": {"key": "iifname"}}


def test_firewalld_lets_translated_packets_through_but_not_those_of_other_nodes(look: Any) -> None:
    text = (REAL / "firewalld.json").read_text()
    assert look(text) == {"filter_FORWARD": [ACROSS]}
    assert look(text, "socat") == {
        "filter_FORWARD": [ACROSS],
        "filter_INPUT": ["to nodePort 30008/TCP", "to nodePort 30053/UDP"],
    }


def test_a_relay_accepts_and_asks_itself_and_forwards_for_others_alone(look: Any) -> None:
    strict = saved("-A FORWARD -o cni0 -j ACCEPT", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT").replace(
        ":OTHER", ":INPUT DROP [0:0]\n:OTHER", 1
    )
    assert look(strict) == {"FORWARD": [BACK, REMOTE]}, "the kernel translates before INPUT, and asks pods by OUTPUT"
    ports = ["to nodePort 30008/TCP", "to nodePort 30053/UDP"]
    assert look(strict, "socat") == {"FORWARD": [BACK], "INPUT": ports}
    assert look(strict, "socat", alone=True) == {"INPUT": ports}
    deaf = saved(policy="ACCEPT").replace(":OTHER", ":INPUT DROP [0:0]\n:OTHER", 1)
    assert look(deaf, alone=True) == {"INPUT": [HERE]}, "whatever forwards, it asks whether pods are ready"


def test_a_vxlan_needs_its_udp_port_and_its_own_interface(look: Any) -> None:
    said = "by VXLAN (UDP port 4789) between 192.0.2.1 and 192.0.2.2"
    port = "-A INPUT -p udp -m udp --dport 4789 -j"
    rules = saved(f"{port} DROP", policy="ACCEPT").replace(":OTHER", ":INPUT ACCEPT [0:0]\n:OTHER", 1)
    assert look(rules) == {}
    assert look(rules, vxlan_port=4789) == {"INPUT": [said]}
    assert look(rules, vxlan_port=8472) == {}
    friends = rules.replace(f"{port} DROP", f"-A INPUT -s 192.0.2.2 -j ACCEPT\n{port} DROP")
    assert look(friends, vxlan_port=4789) == {}
    across = "-A FORWARD -i nodeport-vxlan -o cni0 -j DROP"
    assert look(saved(across, policy="ACCEPT"), vxlan_port=4789) == {"FORWARD": [ACROSS]}


def test_ufw_drops_what_is_routed_but_not_answers(look: Any) -> None:
    assert look((REAL / "ufw.save").read_text()) == {"FORWARD": [LOCAL, ACROSS, REMOTE]}
    allowed = (REAL / "ufw.save").read_text().replace(
        "-A ufw-user-limit ", "-A ufw-user-forward -d 10.244.0.0/16 -j ACCEPT\n-A ufw-user-limit ", 1
    )  # fmt: skip
    assert look(allowed) == {}, "as `ufw route allow to 10.244.0.0/16` writes it"


def test_docker_drops_all_that_is_not_its_own(look: Any) -> None:
    text = (REAL / "docker.save").read_text()
    assert look(text) == {"FORWARD": [LOCAL, ACROSS, BACK, REMOTE]}
    both = (
        "-A DOCKER-USER -d 10.244.0.0/16 -j ACCEPT\n-A DOCKER-USER -s 10.244.0.0/16 -j ACCEPT\n-A DOCKER-USER -j RETURN"
    )
    assert look(text.replace("-A DOCKER-USER -j RETURN", both)) == {}


@pytest.mark.parametrize(
    ("rules", "dropped"),
    [
        ([], [LOCAL, ACROSS, BACK, REMOTE]),
        (["-A FORWARD -i eth0 -j ACCEPT"], [BACK]),
        (["-A FORWARD -i eth+ -o cni0 -j ACCEPT"], [BACK, REMOTE]),
        (["-A FORWARD ! -i docker0 -j ACCEPT"], []),
        (["-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"], [LOCAL, ACROSS, REMOTE]),
        (["-A FORWARD -m conntrack --ctstatus DNAT -j ACCEPT"], [ACROSS]),
        (["-A FORWARD -j OTHER", "-A OTHER -p tcp -j ACCEPT"], []),
        (["-A FORWARD -j OTHER", "-A OTHER -j RETURN", "-A OTHER -j ACCEPT"], [LOCAL, ACROSS, BACK, REMOTE]),
        (["-A FORWARD -g OTHER", "-A FORWARD -j ACCEPT"], [LOCAL, ACROSS, BACK, REMOTE]),
        (["-A FORWARD -p udp -j ACCEPT"], [LOCAL, ACROSS, BACK, REMOTE]),
        (["-A FORWARD -m set --match-set friends src -j ACCEPT"], []),
        (["-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT"], []),
        (["-A FORWARD -j NFQUEUE --queue-num 1"], []),
        (["-A FORWARD -s 198.51.100.0/24 -j ACCEPT"], [BACK]),
        (['-A FORWARD -m comment --comment "it\'s -j ACCEPT" -j LOG --log-prefix x'], [LOCAL, ACROSS, BACK, REMOTE]),
    ],
)
def test_a_policy_of_iptables_and_its_exceptions(look: Any, rules: list[str], dropped: list[str]) -> None:
    assert look(saved(*rules)).get("FORWARD", []) == dropped


def test_a_rule_of_iptables_that_drops(look: Any) -> None:
    assert look(saved("-A FORWARD -o cni0 -j REJECT", policy="ACCEPT")) == {"FORWARD": [LOCAL, ACROSS]}
    assert look(saved("-A FORWARD -m set --match-set bad src -j DROP", policy="ACCEPT")) == {}
    assert look(saved("-A FORWARD -i cni0 -o eth0 -j DROP", policy="ACCEPT"), alone=True) == {"FORWARD": [BACK]}


@pytest.mark.parametrize(
    ("expressions", "dropped"),
    [
        ([[match(port(), {"range": [30000, 32767]}), {"drop": None}]], True),
        ([[match(port(), {"set": [22, 30008]}), {"reject": None}]], True),
        ([[match(port(), 30008, "!="), {"drop": None}]], False),
        ([[match(IIF, "eth0"), match(port(), "@ours"), {"drop": None}]], False),
        ([[match(port(), 30008), {"accept": None}], [match(IIF, "eth*"), {"drop": None}]], False),
        ([[{"limit": {"rate": 1}}, {"drop": None}]], False),
        ([[{"vmap": {"key": port(), "data": {"set": [[22, {"accept": None}], [30008, {"drop": None}]]}}}]], True),
        ([[{"vmap": {"key": port(), "data": "@zones"}}]], False),
        ([[{"xt": {"type": "target", "name": "NFQUEUE"}}]], False),
        ([[match({"payload": {"protocol": "ip6", "field": "daddr"}}, "::1", "!="), {"drop": None}]], False),
        ([[{"surprise": {}}, {"drop": None}]], False),
    ],
)
def test_rules_of_nftables_about_a_node_port(look: Any, expressions: Any, dropped: bool) -> None:
    said = look(nft(*expressions, hook="prerouting")).get("c", [])
    assert ("to nodePort 30008/TCP" in said) is dropped


def test_no_ruleset_is_too_strange(look: Any) -> None:
    assert look(nft([match({"concat": []}, None), {"drop": None}], [{"match": {}}], policy="drop")) == {}
    assert look("") == {}
