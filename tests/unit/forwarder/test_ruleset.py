"""Any state to any other, on a model of the kernel's sets: the end is right, and no packet falls between two steps."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from nodeportd.endpoints import NOTHING, Effective, Forward
from nodeportd.places import uses
from nodeportd.ruleset import full, steps, transaction
from nodeportd.state import Service

_NODE_PORTS = range(30000, 30006)
_ENDPOINTS = [(f"10.244.0.{host}", 80) for host in range(2, 8)]


class Table:
    """The sets, maps and chains of one moment, by name; ``remembered`` are the sets that the chain remember asks."""

    def __init__(self, text: str, before: Table | None = None) -> None:
        self.elements: dict[str, dict[str, str]] = {}
        self.chains: set[str] = set()
        self.remembered: set[str] = set()
        if before:
            self.elements = {name: dict(held) for name, held in before.elements.items()}
            self.chains = set(before.chains)
            self.remembered = before.remembered
        _, flushed, rules = text.rpartition("flush chain ip nodeport remember\n")
        if flushed or before is None:
            self.remembered = set(re.findall(r"@(sticky-\d+) update", rules))
        self.rules = sorted(re.findall(r"^    (?!type|typeof|flags|size|elements)\w.*", text, re.MULTILINE))
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
        for kind, name in re.findall(r"^delete (chain|map|set) ip nodeport (\S+)$", text, re.MULTILINE):
            self.chains.remove(name) if kind == "chain" else self.elements.pop(name)
        assert self.remembered == {name for name in self.elements if name.startswith("sticky-")}
        assert {verdict.removeprefix("goto ") for verdict in self.elements["ways"].values()} <= self.chains | {"drop"}

    def leads(self, later: Table, earlier: Table) -> None:
        """Whatever place a packet finds here, the way on is there in both neighbouring moments."""
        for place, way in self.elements["services"].items():
            for moment in (earlier, self, later):
                assert moment.elements["ways"][way] == self.elements["ways"][way]
            verdict = self.elements["ways"][way]
            for target in self._targets(verdict):
                kind, _, size = target.partition("-")
                ends = "local" if kind in ("near", "stay") else "endpoints"
                for moment in (earlier, self, later):
                    assert {verdict.removeprefix("goto "), target} <= moment.chains
                    assert any(place in held for name, held in moment.elements.items() if name.startswith("hidden"))
                    sticky = any(place in moment.elements[name] for name in moment.remembered)
                    assert (kind in ("stick", "stay")) <= sticky
                    numbers = range(1, int(size) + 1)
                    assert all(f"{place} . 0:{number}" in moment.elements[f"{ends}-{size}"] for number in numbers)

    @staticmethod
    def _targets(verdict: str) -> list[str]:
        """The chains that pick, where a verdict leads in the end."""
        kind, *sizes = verdict.removeprefix("goto ").split("-")
        if kind in ("drop", "refuse"):
            return []
        if kind not in ("part", "hold"):
            return [f"{kind}-{size}" for size in sizes]
        both = ("pick", "near") if kind == "part" else ("stick", "stay")
        return [f"{one}-{size}" for one, size in zip(both, sizes, strict=True) if size != "0"]


def service(number: int, affinity: int, policies: int, address: str) -> Service:
    return Service(
        f"default/web-{number}",
        (),
        cluster_addresses=(f"10.96.0.{number}",),
        external_addresses=(address,) if address else (),
        affinity_seconds=affinity,
        external_local=bool(policies & 1),
        internal_local=bool(policies & 2),
        allowed_sources=("10.0.0.0/8",) if policies & 4 else (),
    )


def forwards(of: Service, choice: dict[tuple[str, int], list[int]]) -> tuple[Forward, ...]:
    """Ports with endpoints, the even ones of which are on this node."""
    return tuple(
        Forward(
            of,
            protocol,
            number - 30000 + 80,
            number,
            tuple(_ENDPOINTS[index] for index in picked),
            tuple(_ENDPOINTS[index] for index in picked if index % 2 == 0),
            tuple(_ENDPOINTS[index][0] for index in picked if index % 2 == 0),
        )
        for (protocol, number), picked in choice.items()
    )


def services(*given: tuple[tuple[int, int, str], dict[tuple[str, int], list[int]]]) -> dict[str, tuple[Forward, ...]]:
    """Services with a range of nodePorts each."""
    found = {}
    for number, (fields, choice) in enumerate(given):
        one = service(number, fields[0], fields[1], fields[2] and f"203.0.113.{number}")
        shifted = {(protocol, port + 10 * number): picked for (protocol, port), picked in choice.items()}
        if shifted:
            found[one.key] = forwards(one, shifted)
    return found


_FIELDS = st.tuples(st.sampled_from([0, 0, 10, 60]), st.integers(0, 7), st.sampled_from(["", "yes"]))
_CHOICE = st.dictionaries(
    st.tuples(st.sampled_from(["tcp", "udp"]), st.sampled_from(_NODE_PORTS)),
    st.lists(st.integers(0, len(_ENDPOINTS) - 1), unique=True, max_size=4),
    max_size=4,
)
STATES = st.builds(
    Effective,
    st.just("n1"),
    st.sampled_from([("192.168.56.11",), ("192.168.56.12",), ("192.168.56.11", "192.168.56.12")]),
    st.sampled_from([("10.244.0.0/16",), ("10.244.0.0/16", "10.245.0.0/16")]),
    st.builds(services, st.tuples(_FIELDS, _CHOICE), st.tuples(_FIELDS, _CHOICE)),
)


@given(STATES, STATES)
def test_the_steps_end_at_what_the_whole_text_makes(old: Effective, new: Effective) -> None:
    table = Table(full(old))
    for step in steps(old, new):
        table = Table(step.text, table)
    wanted = Table(full(new))
    assert (table.elements, table.chains) == (wanted.elements, wanted.chains)
    at_once = Table(transaction(old, new), Table(full(old)))
    assert (at_once.elements, at_once.chains) == (wanted.elements, wanted.chains)


@given(STATES, STATES)
def test_a_packet_between_two_lookups_finds_its_way_in_every_step(old: Effective, new: Effective) -> None:
    moments = [Table(full(old))]
    for step in steps(old, new):
        moments.append(Table(step.text, moments[-1]))
    for earlier, later in pairwise(moments):
        earlier.leads(later, earlier)
        later.leads(later, earlier)


@given(STATES)
def test_rules_do_not_grow_with_services(state: Effective) -> None:
    assert len(Table(full(state)).rules) == len(RULES_ALWAYS) + sum(
        _RULES_OF[name.split("-")[0]] for name in uses(state).frame
    )


_RULES_OF = {"pick": 1, "near": 1, "stick": 2, "stay": 2, "part": 2, "hold": 2, "remember": 2, "guard": 1}
RULES_ALWAYS = Table(full(NOTHING)).rules


@given(STATES, STATES)
def test_a_change_names_only_what_differs(old: Effective, new: Effective) -> None:
    if old.addresses == new.addresses:
        same = set(old.forwards) & set(new.forwards)
        text = transaction(old, new)
        for one in same:
            address = one.service.cluster_addresses[0]
            assert not re.search(rf"\b{re.escape(address)} \. {one.protocol} \. {one.port}\b", text)


@given(STATES, STATES)
def test_what_is_used_is_kept_up(old: Effective, new: Effective) -> None:
    used = uses(old)
    steps(old, new, used)
    assert used == uses(new)
