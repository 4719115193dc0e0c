"""What is followed from change to change is what it would be when thought through from the beginning."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nodeportd import state
from nodeportd.endpoints import NOTHING, Current, changed, effective
from nodeportd.reading import Reading

from tests.lab.nodeportd_rig import endpoint, service, whole

_PODS = ["10.244.0.2", "10.244.0.3", "10.244.0.4"]
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
)
_STATES = st.builds(
    lambda services, addresses: whole(1, *services, addresses=addresses),
    st.lists(_SERVICES, max_size=4),
    st.sampled_from([["10.99.0.1"], ["10.99.0.2"]]),
)


def as_ansible_writes(document: dict[str, Any]) -> bytes:
    """``to_nice_json(sort_keys=true)``."""
    return (json.dumps(document, indent=4, sort_keys=True, separators=(",", ": ")) + "\n").encode()


def outcome(read: Any, raw: bytes) -> object:
    try:
        return read(raw)
    except state.StateError as error:
        return error.reasons


@given(st.lists(_STATES, min_size=2, max_size=6))
def test_files_read_one_after_the_other(documents: list[dict[str, Any]]) -> None:
    reading = Reading()
    for document in documents:
        raw = as_ansible_writes(document)
        assert outcome(reading.parse, raw) == outcome(state.parse, raw)


def test_services_that_stay_are_the_very_same() -> None:
    reading = Reading()
    documents = [
        whole(turn, service("a", ports(30001, [])), service("b", ports(30002, [endpoint(_PODS[turn])])))
        for turn in range(2)
    ]
    first, second = (reading.parse(as_ansible_writes(document)) for document in documents)
    assert first.services[0] is second.services[0]
    assert first.services[1] != second.services[1]


@given(st.lists(st.tuples(_STATES, st.sets(st.sampled_from(_PODS))), min_size=2, max_size=6), st.booleans())
def test_readiness_and_states_followed(changes: list[tuple[dict[str, Any], set[str]]], same: bool) -> None:
    current, wanted, before = Current(), None, NOTHING
    for document, down in changes:
        read = outcome(state.parse, as_ansible_writes(document))
        if isinstance(read, state.State) and (wanted is None or not same):
            wanted = read
        if wanted is not None:
            unready = {f"default/pod-{address[-1]}" for address in down}
            after = current.bring(wanted, unready)
            assert after == effective(wanted, unready)
            told, found = changed(before, after), changed(before, effective(wanted, unready))
            assert [set(each) for each in told] == [set(each) for each in found]
            before = after


def test_a_pod_that_is_not_ready_touches_only_its_services() -> None:
    document = whole(
        1, service("a", ports(30001, [endpoint(_PODS[0])])), service("b", ports(30002, [endpoint(_PODS[1])]))
    )
    wanted = state.parse(as_ansible_writes(document))
    current = Current()
    before = current.bring(wanted)
    after = current.bring(wanted, {"default/pod-2"})
    assert after.services["default/a"] != before.services["default/a"]
    assert after.services["default/b"] is before.services["default/b"]
