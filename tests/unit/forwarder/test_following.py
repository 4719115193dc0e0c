"""What is followed from change to change is what it would be when thought through from the beginning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodeportd import state
from nodeportd.endpoints import NOTHING, Current, changed, effective
from nodeportd.reading import Reading

from tests.lab.nodeportd_rig import as_the_role_writes, endpoint, service, whole

_PODS = ["10.244.0.2", "10.244.0.3", "10.244.0.4", "fd00::2"]
_ENDPOINTS = st.builds(
    endpoint,
    st.sampled_from(_PODS),
    st.sampled_from([80, 81]),
    node=st.sampled_from(["n1", "n2"]),
    always=st.booleans(),
    terminating=st.booleans(),
)


def ports(number: int, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": "", "protocol": "TCP", "port": 80, "node_port": number, "endpoints": endpoints}


_SERVICES = st.builds(
    service,
    st.sampled_from(["a", "b", "c", "d", "UPPER"]),
    st.builds(ports, st.integers(30000, 30004), st.lists(_ENDPOINTS, max_size=3)),
    external_addresses=st.sampled_from([[], [], ["203.0.113.7"], ["10.99.0.1"]]),
    external_traffic_policy=st.sampled_from(["Cluster", "Local"]),
    ip_families=st.sampled_from([["IPv4"], ["IPv6"], ["IPv4", "IPv6"]]),
)
_STATES = st.builds(
    lambda services, addresses: whole(1, *services, addresses=addresses),
    st.lists(_SERVICES, max_size=4),
    st.sampled_from([["10.99.0.1"], ["10.99.0.2"], ["10.99.0.1", "fd00:99::1"]]),
)


def by_hand(document: dict[str, Any]) -> bytes:
    """Of another layout, as a person or an older role writes it."""
    return json.dumps(document, indent=4, sort_keys=True).encode()


def outcome(read: Any, raw: bytes) -> object:
    try:
        return read(raw)
    except state.StateError as error:
        return error.reasons


@given(st.lists(_STATES, min_size=2, max_size=6), st.sampled_from([as_the_role_writes, by_hand]))
def test_files_read_one_after_the_other(documents: list[dict[str, Any]], last: Any) -> None:
    reading = Reading()
    for document, writes in zip(documents, [*[as_the_role_writes] * 5, last][-len(documents) :], strict=True):
        raw = writes(document)
        assert outcome(reading.parse, raw) == outcome(state.parse, raw)


Edit = Callable[[bytes, int, int], bytes]
"""What becomes of a text, by two numbers."""


def _of_lines(alter: Callable[[list[bytes], int, int], object]) -> Edit:
    def edit(raw: bytes, one: int, other: int) -> bytes:
        lines = raw.split(b"\n")
        alter(lines, one % len(lines), other % len(lines))
        return b"\n".join(lines)

    return edit


def _swap(lines: list[bytes], one: int, other: int) -> None:
    lines[one], lines[other] = lines[other], lines[one]


def _comma(lines: list[bytes], one: int, _: int) -> None:
    lines[one] = lines[one][:-1] if lines[one].endswith(b",") else lines[one] + b","


def _split(lines: list[bytes], one: int, other: int) -> None:
    parts = lines[one].split(b",")
    at = other % len(parts)
    lines[one : one + 1] = [b",".join(parts[:at]) + b",", b",".join(parts[at:])]


EDITS: list[Edit] = [
    lambda raw, one, _: raw[: one % len(raw)],  # truncated
    lambda raw, one, other: raw[: one % len(raw)] + bytes([other % 256]) + raw[one % len(raw) + 1 :],  # same length
    lambda raw, one, other: raw[: one % len(raw)] + b'\n,{}[] "0'[other % 9 :][:1] + raw[one % len(raw) :],
    lambda raw, one, other: raw[: min(one, other) % len(raw)] + raw[max(one, other) % len(raw) :],
    lambda raw, one, _: raw.replace(b'"generation": 1', b'"generation": %d' % one),
    lambda raw, one, other: raw.replace(b"3000%d" % (one % 5), b"3000%d" % (other % 5)),
    lambda raw, one, other: raw.replace(b"10.244.0.%d" % (one % 5), b"10.244.0.%d" % (other % 5), 1),
    lambda raw, _, __: raw.replace(b'"node": "n1"', b'"node": "n2"'),
    lambda raw, _, __: raw.replace(b'"addresses": ["10.99.0.1"', b'"addresses": ["10.99.0.3"'),
    _of_lines(_swap),
    _of_lines(_comma),
    _of_lines(_split),
    _of_lines(lambda lines, one, other: lines.insert(one, lines[other])),
    _of_lines(lambda lines, one, _: lines.insert(one, b"")),
    _of_lines(lambda lines, one, _: lines.insert(one, b"\n,")),
    _of_lines(lambda lines, one, _: lines.pop(one)),
    _of_lines(lambda lines, one, _: lines.__setitem__(one, b"\xef\xbb\xbf" + lines[one])),
    _of_lines(lambda lines, one, other: lines.__setitem__(one, lines[one] + lines[other])),
    _of_lines(lambda lines, one, other: lines.__setitem__(slice(one, other), [])),
]  # fmt: skip
"""What people, editors and full disks do to files."""

_NUMBERS = st.integers(0, 5000)


@settings(max_examples=300)
@given(st.lists(_STATES, min_size=1, max_size=2), st.data())
def test_files_that_somebody_edited(documents: list[dict[str, Any]], data: st.DataObject) -> None:
    reading = Reading()
    raws = [as_the_role_writes(each) for each in documents]
    for _ in range(data.draw(st.integers(1, 6))):
        raw = data.draw(st.sampled_from(raws))
        for edit in data.draw(st.lists(st.sampled_from(EDITS), max_size=2)):
            raw = edit(raw, data.draw(_NUMBERS), data.draw(_NUMBERS)) if raw else raw
        raws.append(raw)
        assert outcome(reading.parse, raw) == outcome(state.parse, raw)


def _many(count: int, address: str = _PODS[0]) -> dict[str, Any]:
    """So many Services; the second one, if there is one, leads to this address."""
    ends = [[endpoint(address if number == 1 else _PODS[0])] for number in range(count)]
    return whole(count, *(service(f"s{number}", ports(30000 + number, ends[number])) for number in range(count)))


def _altered(number: int, **fields: Any) -> dict[str, Any]:
    """Four Services; this one has other fields."""
    document = _many(4)
    document["services"][number] |= fields
    return document


_AT_THE_NODE = {"external_addresses": ["10.99.0.1"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(_altered(0), _altered(3, name="s1"), id="a name that another has"),
        pytest.param(_altered(0), _altered(3, ports=[ports(30001, [])]), id="a nodePort that another has"),
        pytest.param(_altered(0), _altered(3, ports=[ports(80, [])], **_AT_THE_NODE), id="its own nodePort"),
        pytest.param(_altered(0, **_AT_THE_NODE), _altered(0, ports=[ports(80, [])], **_AT_THE_NODE), id="the same"),
        pytest.param(
            _altered(0, external_addresses=["10.99.0.9"], ports=[ports(80, [])]),
            _altered(0, external_addresses=["10.99.0.9"], ports=[ports(80, [])]) | {"addresses": ["10.99.0.9"]},
            id="the node has another address, which a Service has already",
        ),
        pytest.param(
            {**_many(4), "services": [*_many(4)["services"][:2], _altered(2, **_AT_THE_NODE)["services"][2]]},
            {**_altered(2, **_AT_THE_NODE), "services": [
                _altered(0, ports=[ports(80, [])])["services"][0], *_altered(2, **_AT_THE_NODE)["services"][1:3]]},
            id="a nodePort at the address of another Service",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_beside_services_that_stay(before: dict[str, Any], after: dict[str, Any]) -> None:
    reading = Reading()
    assert isinstance(reading.parse(as_the_role_writes(before)), state.State)
    said = outcome(reading.parse, as_the_role_writes(after))
    assert said == outcome(state.parse, as_the_role_writes(after))
    assert not isinstance(said, state.State)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"}\n]\n}\n", b"},\n\n]\n}\n", id="an empty line at the end of the list"),
        pytest.param(
            as_the_role_writes(_many(4)).split(b"\n")[-4], b"", id="an empty line instead of the last Service"
        ),
        pytest.param(b"},\n", b"} \n", id="no comma"),
        pytest.param(b"},\n", b"},\n\n", id="an empty line"),
        pytest.param(b"},\n{", b"},\n\xef\xbb\xbf{", id="a byte order mark within"),
        pytest.param(b'"services": [\n', b'"services": [\n[\n', id="a list too many"),
        pytest.param(b"\n}\n", b"\n}\n}\n", id="a brace too many"),
        pytest.param(b'\n"checks"', b'\n"services": [],\n"checks"', id="a list that is there twice"),
        pytest.param(b'"generation": 4', b'"generation": "', id="an open string"),
        pytest.param(b"30003", b"30003\xff", id="bytes that are no text"),
    ],
)
def test_what_is_no_list_of_lines(old: bytes, new: bytes) -> None:
    reading = Reading()
    raw = as_the_role_writes(_many(4))
    assert old in raw
    for edited in (raw, raw.replace(old, new), raw, raw.replace(old, new, 1), raw[: raw.rfind(old)], raw):
        assert outcome(reading.parse, edited) == outcome(state.parse, edited)


def test_a_file_is_read_into_memory_that_is_there_already(tmp_path: Path) -> None:
    reading, file = Reading(), tmp_path / "state.json"
    for count in (3, 1, 4, 4, 0, 2):
        file.write_bytes(as_the_role_writes(_many(count)))
        assert reading.read(file) == state.parse(file.read_bytes())
    file.write_bytes(b"")
    with pytest.raises(state.StateError, match="not JSON"):
        reading.read(file)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        reading.read(file)


@pytest.mark.parametrize("between", [None, by_hand(_many(3)), b"{", as_the_role_writes(_many(3))[:-30]])
def test_services_that_stay_are_the_very_same(between: bytes | None) -> None:
    """Also when something else was there meanwhile that is of another layout, or no state at all."""
    reading = Reading()
    first = reading.parse(as_the_role_writes(_many(5)))
    if between is not None:
        outcome(reading.parse, between)
    second = reading.parse(as_the_role_writes(_many(5, "10.244.0.33")))
    stay = [one is other for one, other in zip(first.services, second.services, strict=True)]
    assert stay == [True, False, True, True, True]
    assert state.difference(first.services, second) == ([first.services[1]], [second.services[1]])
    assert second.change[2:] == ((first.services[1],), (second.services[1],))


def test_checks_that_stay_are_the_very_same() -> None:
    reading = Reading()
    checks = [{**_CHECK, "pod": f"default/pod-{number}"} for number in range(3)]
    first, second, third = (
        reading.parse(as_the_role_writes(_many(2) | {"generation": turn, "checks": checks[:1] + each}))
        for turn, each in enumerate((checks[1:], checks[1:], [{**checks[1], "port": 81}, checks[2]]))
    )
    assert first.checks is second.checks
    assert [one is other for one, other in zip(second.checks, third.checks, strict=True)] == [True, False, True]
    assert third.services is first.services


_CHECK = {"pod": "", "address": _PODS[0], "kind": "tcp", "port": 80, "path": "/", "host": "", "headers": [],
          "scheme": "HTTP", "initial_delay_seconds": 0, "period_seconds": 1, "timeout_seconds": 1,
          "success_threshold": 1, "failure_threshold": 1}  # fmt: skip


@given(st.lists(st.tuples(_STATES, st.sets(st.sampled_from(_PODS))), min_size=2, max_size=6), st.booleans())
def test_readiness_and_states_followed(changes: list[tuple[dict[str, Any], set[str]]], same: bool) -> None:
    current, reading, wanted, before = Current(), Reading(), None, NOTHING
    for document, down in changes:
        read = outcome(reading.parse, as_the_role_writes(document))
        if isinstance(read, state.State) and (wanted is None or not same):
            wanted = read
        if wanted is not None:
            unready = {f"default/pod-{address[-1]}" for address in down}
            after = current.bring(wanted, unready)
            whole_way = effective(wanted, unready)
            assert after == whole_way
            for was, now, found in [(before, after, whole_way), (before.six, after.six, whole_way.six)]:
                if was is not None and now is not None and found is not None:
                    assert [set(each) for each in changed(was, now)] == [set(each) for each in changed(was, found)]
            before = after


def test_a_pod_that_is_not_ready_touches_only_its_services() -> None:
    document = whole(
        1, service("a", ports(30001, [endpoint(_PODS[0])])), service("b", ports(30002, [endpoint(_PODS[1])]))
    )
    wanted = state.parse(as_the_role_writes(document))
    current = Current()
    before = current.bring(wanted)
    after = current.bring(wanted, {"default/pod-2"})
    assert after.services["default/a"] != before.services["default/a"]
    assert after.services["default/b"] is before.services["default/b"]
