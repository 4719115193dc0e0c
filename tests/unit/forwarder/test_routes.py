"""Whom the relay sends where: policies, allow lists, affinity, and what crosses its socket."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from nodeportd.endpoints import effective
from nodeportd.routes import Memory, Route, from_json, to_json
from nodeportd.socat import routes
from nodeportd.state import Endpoint, Port, Service, State

A, B, C = ("10.244.0.2", 80), ("10.244.0.3", 80), ("10.244.1.2", 80)
PLAIN = Route("default/web", "192.168.56.11", "tcp", 30008, (A, B, C), (A, B, C), (), 0, ())
LOCAL = replace(PLAIN, outside=(A,), inside=("10.244.0.0/16",))
STICKY = replace(PLAIN, affinity_seconds=60)


@pytest.mark.parametrize(
    ("route", "client", "expected"),
    [
        pytest.param(PLAIN, "203.0.113.1", (A, B, C), id="everybody to all endpoints"),
        pytest.param(LOCAL, "203.0.113.1", (A,), id="policy Local: outsiders to endpoints here"),
        pytest.param(LOCAL, "10.244.3.9", (A, B, C), id="policy Local: pods to all"),
        pytest.param(LOCAL, "127.0.0.1", (A, B, C), id="policy Local: the node itself to all"),
        pytest.param(replace(LOCAL, outside=()), "203.0.113.1", (), id="policy Local: nothing here for outsiders"),
        pytest.param(replace(PLAIN, allowed_sources=("10.0.0.0/8",)), "203.0.113.1", (), id="not allowed"),
        pytest.param(replace(PLAIN, allowed_sources=("10.0.0.0/8",)), "10.9.9.9", (A, B, C), id="allowed"),
        pytest.param(replace(PLAIN, allowed_sources=("10.0.0.0/8",)), "127.0.0.1", (A, B, C), id="the node itself"),
    ],
)
def test_who_may_go_where(route: Route, client: str, expected: object) -> None:
    assert route.targets(client) == expected
    assert Memory().pick(route, client, 0.0) in (expected or (None,))


def test_a_client_sticks_while_it_comes_in_time_and_its_endpoint_is_there() -> None:
    memory, route = Memory(), STICKY
    first = memory.pick(route, "10.0.0.1", 0.0)
    assert {memory.pick(route, "10.0.0.1", 50.0 * turn) for turn in range(1, 40)} == {first}
    left = tuple(target for target in (A, B, C) if target != first)
    assert memory.pick(replace(route, everywhere=left, outside=left), "10.0.0.1", 1951.0) in left
    # Three endpoints, 60 clients each after its time: all where they were once in 4e28 runs.
    held = {f"10.1.0.{n}": memory.pick(route, f"10.1.0.{n}", 0.0) for n in range(60)}
    assert held != {client: memory.pick(route, client, 61.0) for client in held}


def test_memory_has_bounds_and_forgets_what_is_no_more() -> None:
    memory = Memory(most=2)
    for client in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        memory.pick(STICKY, client, 0.0)
    assert [client for _, client in memory._held] == ["10.0.0.2", "10.0.0.3"]
    memory.only({PLAIN.place: PLAIN})
    assert not memory._held


@pytest.mark.parametrize("route", [PLAIN, LOCAL, STICKY])
def test_a_route_survives_the_socket(route: Route) -> None:
    assert from_json(json.loads(json.dumps(to_json(route)))) == route
    assert json.loads(json.dumps(to_json(route))) == to_json(route)


def test_what_is_listened_at_is_what_has_endpoints() -> None:
    ends = (Endpoint("10.244.0.2", 80, "n1", "default/web-1"), Endpoint("10.244.1.2", 80, "n2", "default/web-2"))
    ports = (
        Port("", "tcp", 80, 30008, ends),
        Port("none", "tcp", 81, 30009, ()),
        Port("own", "tcp", 82, 0, ends),
    )
    service = Service("default/web", ports, cluster_addresses=("10.96.0.5",), external_local=True)
    wanted = effective(State(1, "n1", "socat", ("192.168.56.11",), ("10.244.0.0/16",), (), (service,)))
    found = {route.place: route for route in routes(wanted)}
    assert set(found) == {("tcp", "192.168.56.11", 30008), ("tcp", "127.0.0.1", 30008)}
    route = found["tcp", "192.168.56.11", 30008]
    assert (route.outside, len(route.everywhere)) == ((("10.244.0.2", 80),), 2)
    assert route.targets("127.0.0.1") == route.everywhere
