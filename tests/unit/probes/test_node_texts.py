"""What nodes print, read: rulesets and routes as nft 1.0.6 and iproute2 6.1 print them."""

from __future__ import annotations

import pytest

from harness.model.observation import Connections
from harness.model.plan import Plan, PlannedNode
from harness.probes import connections, routes, ruleset

OURS = """\
table ip nodeport {
	map services {
		type inet_proto . inet_service : verdict
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ct status dnat meta l4proto 6 ct original ip daddr . meta l4proto . ct original proto-dst @hidden masquerade
	}

	chain hide-own {
		fib saddr type local masquerade
	}

	chain input {
		type filter hook input priority -110; policy accept;
		meta l4proto . th dport @refused reject
	}
}
"""

OTHERS = """\
table inet flt {
	set blocked {
		type ipv4_addr
	}

	chain dmz {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ip saddr { 10.1.1.1, 10.1.1.2 } counter drop comment "not a drop of water"
		jump more
	}

	chain more {
		tcp dport { 22, 80 } counter log prefix "drop it: " accept
		ip saddr @blocked tcp dport vmap { 25 : accept, 26 : accept,
						27 : drop }
		meta l4proto 6 reject with tcp reset
		masquerade
	}

	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 30008 drop
	}
}
table netdev early {
	chain in {
		type filter hook ingress device "eth0" priority -500; policy accept;
		ip saddr 9.9.9.9 drop
	}
}
"""


def test_drops_of_others_are_quoted_with_their_place_and_ours_are_not() -> None:
    assert ruleset.foreign_drops(ruleset.read(OURS + OTHERS)) == (
        "inet flt dmz (hook forward): policy drop",
        'inet flt dmz (hook forward): ip saddr { 10.1.1.1, 10.1.1.2 } counter drop comment "not a drop of water"',
        "inet flt more: ip saddr @blocked tcp dport vmap { 25 : accept, 26 : accept, 27 : drop }",
        "inet flt more: meta l4proto 6 reject with tcp reset",
        "inet flt input: tcp dport 30008 drop",
        "netdev early in (hook ingress): ip saddr 9.9.9.9 drop",
    )


def test_our_table_and_its_masquerade_are_seen() -> None:
    assert ruleset.OURS in ruleset.tables(OURS + OTHERS)
    assert ruleset.masquerades(ruleset.read(OURS + OTHERS))


def test_the_masquerade_of_others_is_not_ours() -> None:
    assert ruleset.tables(OTHERS) == ("inet flt", "netdev early")
    assert not ruleset.masquerades(ruleset.read(OTHERS))
    commented = OURS.replace(" masquerade", ' accept comment "no masquerade here"')
    assert not ruleset.masquerades(ruleset.read(commented))
    flushed = OURS.replace("@hidden masquerade", "accept")
    assert not ruleset.masquerades(ruleset.read(flushed)), "nothing leads to the rule"


def test_an_empty_ruleset() -> None:
    assert (ruleset.read(""), ruleset.tables("")) == ((), ())


PLAN = Plan(
    lab_uid="u",
    generation=1,
    nodes=(
        PlannedNode("n1", "192.168.56.11", "10.244.0.0/24"),
        PlannedNode("n2", "192.168.56.12", "10.244.1.0/24"),
    ),
    pods=(),
    services=(),
)
DEFAULT: routes.Route = {"dst": "default", "gateway": "192.168.56.1", "dev": "eth0"}
OWN: routes.Route = {"dst": "10.244.0.0/24", "dev": "cni0", "protocol": "kernel", "prefsrc": "10.244.0.1"}
OTHER: routes.Route = {"dst": "10.244.1.0/24", "gateway": "192.168.56.12", "dev": "eth0", "protocol": "77"}


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        pytest.param([DEFAULT, OWN, OTHER], (), id="all"),
        pytest.param([DEFAULT, OWN], ("10.244.1.0/24 via 192.168.56.12",), id="one gone"),
        pytest.param([DEFAULT, OTHER], ("10.244.0.0/24 dev cni0",), id="own gone"),
        pytest.param(
            [OWN, {**OTHER, "gateway": "192.168.56.13"}],
            ("10.244.1.0/24 via 192.168.56.12 (there is: 10.244.1.0/24 via 192.168.56.13 dev eth0)",),
            id="wrong way",
        ),
        pytest.param(
            [OWN, {"type": "blackhole", "dst": "10.244.1.0/24"}, OTHER],
            ("10.244.1.0/24 via 192.168.56.12 (there is: blackhole 10.244.1.0/24)",),
            id="the first of two counts",
        ),
        pytest.param(
            [OWN, OTHER, {"type": "blackhole", "dst": "10.244.1.2"}],
            ("10.244.1.2/32 as part of 10.244.1.0/24 via 192.168.56.12 (there is: blackhole 10.244.1.2)",),
            id="one pod shadowed",
        ),
        pytest.param(
            [OWN, OTHER, {"type": "prohibit", "dst": "10.244.0.0/25"}],
            ("10.244.0.0/25 as part of 10.244.0.0/24 dev cni0 (there is: prohibit 10.244.0.0/25)",),
            id="own half shadowed",
        ),
        pytest.param([OWN, OTHER, {**OTHER, "dst": "10.244.1.2"}], (), id="more specific but the same way"),
    ],
)
def test_routes_that_do_not_lead_to_the_pods(there: list[routes.Route], missing: tuple[str, ...]) -> None:
    assert routes.missing(PLAN, "n1", there) == missing


STATISTICS = """\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error
00000c00  00000000 00000000 00000000 0000001f 00000003 0 0 00000000 0000000a 000000ff 00000002 00000000
00000c00  00000000 00000000 00000000 00000000 00000000 0 0 00000000 00000000 00000001 00000010 00000000
"""


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("", Connections()),
        ("3072 3072\n", Connections(3072, 3072)),
        (f"3072 4096\n{STATISTICS}", Connections(3072, 4096, 0xFF + 2 + 1 + 0x10)),
    ],
)
def test_connections_are_counted_over_all_processors(answer: str, told: Connections) -> None:
    assert connections.read(answer) == told


def test_a_table_is_full_when_it_lost_some_while_it_was_looked_at() -> None:
    before, after = Connections(3072, 3072, 10), Connections(2500, 3072, 52)
    assert after.since(before) == Connections(3072, 3072, 52, lately=42)
    assert after.since(before).full
    assert not before.full, "what was lost before is not known to be about now"
    assert not Connections(100, 3072, 52).since(Connections(90, 3072, 10)).full, "lost for another reason"
    assert Connections(3072, 3072).full, "a kernel that does not tell what it lost"
