"""A node of two families of addresses: each has what concerns it, in its own words."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from nodeportd import healthz, remember6, ruleset, state
from nodeportd.endpoints import Current, Forward, effective, same
from nodeportd.families import in_ipv6, split

CASE = Path(__file__).parents[2] / "cases/forwarder/everything-a-service-promises/state.json"


def four() -> state.State:
    """A state of IPv4 alone, with all that a Service may promise."""
    return state.parse(CASE.read_bytes())


def dual() -> state.State:
    """The same with an IPv6 address for the node, its Service of both families, and one more of IPv6 alone."""
    document: dict[str, Any] = json.loads(CASE.read_text())
    document["addresses"].append("fd00::11")
    document["cluster_ranges"].append("fd00:10:244::/56")
    (both,) = document["services"]
    six = [{**end, "address": f"fd00:244::1{end['address'].split('.')[2]}"} for end in both["ports"][0]["endpoints"]]
    only = {**both, "name": "six", "ip_families": ["IPv6"], "cluster_addresses": ["fd00:10:96::8"]}
    only |= {"external_addresses": [], "ports": [{**both["ports"][0], "node_port": 30009, "endpoints": six}]}
    both |= {"ip_families": ["IPv4", "IPv6"], "cluster_addresses": ["10.96.0.5", "fd00:10:96::7"]}
    both["ports"][0]["endpoints"] += six
    document["services"].append(only)
    return state.read(document)


def test_a_state_of_one_family_is_left_as_it_is() -> None:
    wanted = four()
    assert split(wanted)[0] is wanted
    assert effective(wanted).six is None


def test_no_word_and_no_address_of_ipv4_is_in_the_table_of_ipv6() -> None:
    six = effective(dual()).six
    assert six is not None
    text = in_ipv6(ruleset.full(six))
    assert re.findall(r"\bip\b|ipv4_addr|\bicmp\b|\d+\.\d+\.\d+\.\d+", text) == []
    assert "table ip6 nodeport {" in text
    assert "fd00::11 . tcp . " in text


def test_no_address_of_ipv6_is_in_the_table_of_ipv4() -> None:
    assert re.findall(r"[0-9a-f]*::", ruleset.full(effective(dual()))) == []


def test_a_service_of_ipv6_alone_is_in_its_table_alone() -> None:
    wanted = dual()
    only = wanted.services[1]
    found = effective(wanted)
    assert found.six is not None
    assert only.key not in found.services
    assert only.key in found.six.services


def test_nft_is_given_no_rule_of_ipv6_that_remembers_clients() -> None:
    """nft 1.0.6 ends by an assertion over such a rule, and nodeportd with it; the kernel is told directly."""
    six = effective(dual()).six
    assert six is not None
    ((text, durations),) = remember6.parts(in_ipv6(ruleset.full(six)))
    assert "update @clients" in ruleset.full(six)
    assert "update @clients" not in text
    assert "chain remember {\n  }" in text
    assert durations == [10]


def test_rules_come_after_their_sets_and_go_before_them() -> None:
    six = effective(dual()).six
    assert six is not None
    forgetful = dataclasses.replace(
        six,
        services={
            key: tuple(replaced(forward, affinity_seconds=0) for forward in forwards)
            for key, forwards in six.services.items()
        },
    )
    (made, come), *_ = remember6.parts(in_ipv6(ruleset.transaction(forgetful, six)))
    assert come == [10]
    assert "set sticky-10 {" in made
    *_, (_, gone), (removed, none) = remember6.parts(in_ipv6(ruleset.transaction(six, forgetful)))
    assert (gone, none) == ([], None)
    assert "delete set ip6 nodeport sticky-10" in removed


def replaced(forward: Forward, affinity_seconds: int) -> Forward:
    return dataclasses.replace(forward, service=dataclasses.replace(forward.service, affinity_seconds=affinity_seconds))


def test_everything_anew_replaces_the_other_rules_in_one_transaction() -> None:
    """Of a table that is mended no rule but those that remember is away for a moment."""
    six = effective(dual()).six
    assert six is not None
    step = ruleset.replacement(six, {})
    assert step is not None
    (text, durations), (rest, none) = remember6.parts(in_ipv6("\n".join(step.first)))
    assert (durations, rest, none) == ([10], "", None)
    assert "add rule ip6 nodeport prerouting" in text


def test_a_pod_that_is_not_ready_in_one_family_is_left_out_there_alone() -> None:
    wanted = dual()
    pod = wanted.services[0].ports[0].endpoints[0].pod
    ready, current = effective(wanted), Current()
    for unready in ({pod}, {f"{pod} (IPv6)"}):
        found = current.bring(wanted, unready)
        assert found == effective(wanted, unready)
        assert (found.services == ready.services) == (pod not in unready)
        assert ready.six is not None
        assert found.six is not None
        assert (found.six.services == ready.six.services) == (pod in unready)


def test_a_pod_is_asked_once_in_each_family() -> None:
    document: dict[str, Any] = json.loads(CASE.read_text())
    document["checks"] = [tcp("10.244.0.2"), tcp("fd00:10:244::2")]
    assert [check.key for check in state.read(document).checks] == ["default/web-1", "default/web-1 (IPv6)"]
    document["checks"].append(tcp("fd00:10:244::3"))
    with pytest.raises(state.StateError, match=r'checks\[2\].pod: "default/web-1" is there twice'):
        state.read(document)


def tcp(address: str) -> dict[str, object]:
    times = dict.fromkeys(("period_seconds", "timeout_seconds", "success_threshold", "failure_threshold"), 1)
    check = {"pod": "default/web-1", "address": address, "kind": "tcp", "port": 80, "path": "", "host": ""}
    return {**check, "headers": [], "scheme": "HTTP", "initial_delay_seconds": 0, **times}


def test_an_allow_list_that_names_nobody_of_a_family_lets_nobody_of_it_in() -> None:
    wanted = dual()
    closed = dataclasses.replace(wanted.services[0], allowed_sources=("10.0.0.0/8",))
    six = effective(dataclasses.replace(wanted, services=(closed,))).six
    assert six is not None
    assert " . ::1/128" in ruleset.full(six)


def test_halves_of_a_service_that_stays_are_those_of_before() -> None:
    current, wanted = Current(), dual()
    first = current.bring(wanted)
    altered = dataclasses.replace(wanted, services=(wanted.services[0], dataclasses.replace(wanted.services[1])))
    second = current.bring(altered)
    assert first.six is not None
    assert second.six is not None
    key = wanted.services[0].key
    assert second.services[key] is first.services[key]
    assert second.six.services[key] is first.six.services[key]
    assert same(first, second)
    assert not same(first, dataclasses.replace(second, six=None))


def test_load_balancers_are_told_at_both_families_and_of_each_pod_once() -> None:
    wanted = dual()
    asked = dataclasses.replace(wanted.services[0], health_check_node_port=30099)
    both = dataclasses.replace(wanted, node="n1", services=(asked,))
    (count,) = {health.endpoints for health in healthz.of_state(both).values()}
    assert {address for address, _ in healthz.of_state(both)} == set(wanted.addresses)
    of_four = dataclasses.replace(split(both)[0], node="n1")
    assert {health.endpoints for health in healthz.of_state(of_four).values()} == {count}


@pytest.mark.parametrize(
    "address",
    ["fe80::1", "::1", "ff02::1", "::", "::ffff:10.0.0.1", "FD00::1", "fd00:0::1", "fd00::1%eth0", "fd00::/64"],
)
def test_addresses_that_are_refused(address: str) -> None:
    document: dict[str, Any] = json.loads(CASE.read_text())
    document["addresses"] = [address]
    with pytest.raises(state.StateError, match="is not the IPv6 address of a machine"):
        state.read(document)


def test_a_family_that_there_is_not_is_refused() -> None:
    document: dict[str, Any] = json.loads(CASE.read_text())
    document["services"][0]["ip_families"] = ["IPv5"]
    with pytest.raises(state.StateError, match=r"services\[0\].ip_families\[0\]: \"IPv5\" is neither IPv4 nor IPv6"):
        state.read(document)
