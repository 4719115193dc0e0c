"""Any state to any other, on a model of the kernel's sets: the end is right, and no packet falls between two steps."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from nodeportd.endpoints import Effective, Forward
from nodeportd.ruleset import full, steps, transaction
from nodeportd.state import Service

WEB = Service("default/web", ())
_NODE_PORTS = range(30000, 30006)
_ENDPOINTS = [(f"10.244.0.{host}", 80) for host in range(2, 8)]


class Table:
    """The sets, maps and chains of one moment, by name."""

    def __init__(self, text: str, before: Table | None = None) -> None:
        self.elements: dict[str, dict[str, str]] = {}
        self.chains: set[str] = set()
        if before:
            self.elements = {name: dict(held) for name, held in before.elements.items()}
            self.chains = set(before.chains)
        self.rules = sorted(re.findall(r"^    (?:dnat|ip daddr|ct) .*", text, re.MULTILINE))
        for kind, name in re.findall(r"^  (set|map|chain) (\S+) \{", text, re.MULTILINE):
            if kind == "chain":
                self.chains.add(name)
            else:
                assert self.elements.setdefault(name, {}) == {}
        for verb, name, shown in re.findall(r"^(add|delete) element ip nodeport (\S+) \{ (.*) \}$", text, re.MULTILINE):
            for key, _, value in (element.partition(" : ") for element in shown.split(", ")):
                held = self.elements[name]
                assert (key in held) == (verb == "delete"), f"{verb} {name} {key}: the kernel would refuse"
                held.pop(key) if verb == "delete" else held.update({key: value})
        for kind, name in re.findall(r"^delete (chain|map) ip nodeport (\S+)$", text, re.MULTILINE):
            self.chains.remove(name) if kind == "chain" else self.elements.pop(name)

    def leads(self, later: Table, earlier: Table) -> None:
        """Whatever a packet finds here in ``services``, the way on is there in both neighbouring moments."""
        for key, verdict in self.elements["services"].items():
            protocol, _, number = key.partition(" . ")
            size = int(verdict.removeprefix("goto pick-"))
            for moment in (earlier, self, later):
                assert f"pick-{size}" in moment.chains
                assert number in moment.elements[f"forwarded-{protocol}"]
                assert all(f"{key} . {index}" in moment.elements[f"endpoints-{size}"] for index in range(size))


def ports(choice: dict[tuple[str, int], list[int]]) -> tuple[Forward, ...]:
    return tuple(
        Forward(WEB, protocol, 80, number, tuple(_ENDPOINTS[index] for index in picked))
        for (protocol, number), picked in choice.items()
    )


STATES = st.builds(
    Effective,
    st.just("n1"),
    st.sampled_from([("192.168.56.11",), ("192.168.56.12",), ("192.168.56.11", "192.168.56.12")]),
    st.just(("10.244.0.0/16",)),
    st.dictionaries(
        st.tuples(st.sampled_from(["tcp", "udp"]), st.sampled_from(_NODE_PORTS)),
        st.lists(st.integers(0, len(_ENDPOINTS) - 1), unique=True, max_size=4),
        max_size=6,
    ).map(ports),
)


@given(STATES, STATES)
def test_the_steps_end_at_what_the_whole_text_makes(old: Effective, new: Effective) -> None:
    table = Table(full(old))
    for step in steps(old, new):
        table = Table(step, table)
    wanted = Table(full(new))
    assert (table.elements, table.chains) == (wanted.elements, wanted.chains)
    at_once = Table(transaction(old, new), Table(full(old)))
    assert (at_once.elements, at_once.chains) == (wanted.elements, wanted.chains)


@given(STATES, STATES)
def test_a_packet_between_two_lookups_finds_its_way_in_every_step(old: Effective, new: Effective) -> None:
    moments = [Table(full(old))]
    for step in steps(old, new):
        moments.append(Table(step, moments[-1]))
    for earlier, later in pairwise(moments):
        earlier.leads(later, earlier)
        later.leads(later, earlier)


@given(STATES)
def test_rules_do_not_grow_with_services(state: Effective) -> None:
    sizes = {len(port.everywhere) for port in state.forwards if port.everywhere}
    assert len(Table(full(state)).rules) == 8 + len(sizes)


@given(STATES, STATES)
def test_a_change_names_only_what_differs(old: Effective, new: Effective) -> None:
    same = {(port.protocol, port.node_port) for port in set(old.forwards) & set(new.forwards)}
    text = transaction(old, new)
    assert not [key for key in same if re.search(rf"\b{key[0]} \. {key[1]}\b", text)]
