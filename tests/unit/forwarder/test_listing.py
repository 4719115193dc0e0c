"""Listings as nft prints them, compared."""

from __future__ import annotations

from nodeportd.listing import differences, parse

LISTED = """\
table ip nodeport {
    set node-addresses {
        type ipv4_addr
        elements = { 192.168.56.11 }
    }

    map services {
        type inet_proto . inet_service : verdict
        elements = { tcp . 30008 : goto pick-3, udp . 30008 : goto pick-3,
                 tcp . 30009 : goto pick-1 }
    }

    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr @node-addresses meta l4proto . th dport vmap @services
    }

    chain output {
        type nat hook output priority -100; policy accept;
        ip daddr @node-addresses meta l4proto . th dport vmap @services
    }
}
""".replace("    ", "\t")
RULE = "\t\tip daddr @node-addresses meta l4proto . th dport vmap @services\n"


def compared(found: str) -> list[str]:
    return list(differences(parse(LISTED), parse(found)))


def test_equal() -> None:
    assert compared(LISTED) == []


def test_the_order_of_elements_and_of_blocks_means_nothing() -> None:
    first, last = "tcp . 30008 : goto pick-3", "tcp . 30009 : goto pick-1"
    assert compared(LISTED.replace(first, "x").replace(last, first).replace("x", last)) == []
    address = LISTED[LISTED.index("\tset") : LISTED.index("\tmap")]
    assert compared(LISTED.replace(address, "")[:-2] + f"\n{address}}}\n") == []


def test_an_element_missing_altered_and_foreign() -> None:
    assert compared(LISTED.replace(", udp . 30008 : goto pick-3", "")) == ["- map services: udp . 30008 : goto pick-3"]
    assert compared(LISTED.replace("192.168.56.11", "192.168.56.12, 10.0.0.1")) == [
        "- set node-addresses: 192.168.56.11",
        "+ set node-addresses: 10.0.0.1",
        "+ set node-addresses: 192.168.56.12",
    ]


def test_a_rule_that_another_chain_has_as_well() -> None:
    assert compared(LISTED[::-1].replace(RULE[::-1], "", 1)[::-1]) == [f"- chain output: {RULE.strip()}"]
    assert compared(LISTED.replace(RULE, RULE + RULE, 1)) == [f"+ chain prerouting: {RULE.strip()}"]


def test_rules_in_another_order() -> None:
    altered = LISTED.replace(RULE, "\t\ttcp dport 9 drop\n" + RULE, 1)
    wanted, found = parse(altered), parse(LISTED.replace(RULE, RULE + "\t\ttcp dport 9 drop\n", 1))
    assert list(differences(wanted, found)) == ["~ chain prerouting: its lines are in another order"]


def test_a_whole_block_missing_and_foreign() -> None:
    chain = LISTED[LISTED.index("\tchain output") : -2]
    assert compared(LISTED.replace(chain, "")) == ["- chain output"]
    assert compared(LISTED.replace("chain output", "chain theirs")) == ["- chain output", "+ chain theirs"]


def test_a_flag_of_the_table() -> None:
    assert compared(LISTED.replace("ip nodeport {\n", "ip nodeport {\n\tflags dormant\n")) == ["+ table: flags dormant"]


def test_a_priority_of_a_chain() -> None:
    assert compared(LISTED.replace("dstnat", "-90")) == [
        "- chain prerouting: type nat hook prerouting priority dstnat; policy accept;",
        "+ chain prerouting: type nat hook prerouting priority -90; policy accept;",
    ]
