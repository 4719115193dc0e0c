"""The Services' own addresses, and endpoints that users give."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plan
from harness.errors import PlanError
from harness.model.plan import Plan
from harness.model.workload import (
    EndpointSlice,
    Service,
    ServicePort,
    ServiceType,
    SliceEndpoint,
    SlicePort,
    Workload,
)
from harness.plan.addresses import SERVICE_RANGE
from tests.unit.plan.sample import LAB, SOURCE, nodes, service

INNER = ServiceType.CLUSTER_IP


def planned(*services: Service, previous: Plan | None = None, slices: tuple[EndpointSlice, ...] = ()) -> Plan:
    return plan.build(Workload(services=services, endpoint_slices=slices), nodes(2), LAB, previous)


def own(of: Plan) -> dict[str, str]:
    return {each.name: each.cluster_addresses[0] for each in of.services}


@given(st.sets(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), min_size=1, max_size=8), st.data())
def test_a_service_keeps_its_address_whoever_comes_and_goes(names: set[str], data: st.DataObject) -> None:
    before = planned(*(service(name) for name in sorted(names)))
    stay = data.draw(st.sets(st.sampled_from(sorted(names))))
    after = planned(*(service(name) for name in [*sorted(stay), "x-new"]), previous=before)
    assert {name: own(after)[name] for name in stay} == {name: own(before)[name] for name in stay}
    found = [IPv4Address(address) for address in own(before).values()]
    assert len(set(found)) == len(found)
    assert all(address in SERVICE_RANGE for address in found)


def test_ten_thousand_services_get_addresses_of_their_own() -> None:
    many = planned(*(service(f"s{number}", kind=INNER) for number in range(10_000)))
    assert len(set(own(many).values())) == 10_000


def test_what_is_written_is_taken_and_taken_once() -> None:
    first, second = (replace(service(name), cluster_ip="10.96.0.7") for name in ("a", "b"))
    assert own(planned(first, service("b")))["a"] == "10.96.0.7"
    with pytest.raises(PlanError, match=r"default/b: clusterIP 10\.96\.0\.7 is already taken by Service default/a"):
        planned(first, second)


def test_an_address_held_from_before_is_refused_to_one_that_writes_it() -> None:
    before = planned(service("a"))
    address = own(before)["a"]
    with pytest.raises(PlanError, match="is already allocated to Service default/a"):
        planned(service("a"), replace(service("b"), cluster_ip=address), previous=before)
    freed = planned(replace(service("b"), cluster_ip=address), previous=before)
    assert own(freed) == {"b": address}


def test_a_headless_service_has_none() -> None:
    (only,) = planned(replace(service("web", kind=INNER), cluster_ip="None")).services
    assert only.cluster_addresses == ()


def test_an_external_address_and_port_belongs_to_one_service() -> None:
    first, second = (replace(service(name), external_ips=("203.0.113.7",)) for name in ("a", "b"))
    with pytest.raises(PlanError, match=r"203\.0\.113\.7:80/TCP is already taken by Service default/a"):
        planned(first, second)
    planned(first, replace(second, ports=(ServicePort(81, 80),)))


def test_a_health_check_has_its_number_alone() -> None:
    checked = replace(service("a", ServicePort(80, 80, node_port=30008)), health_check_node_port=30009)
    planned(checked)
    with pytest.raises(PlanError, match="30009 is already taken by Service default/a \\(its health check\\)"):
        planned(checked, service("b", ServicePort(80, 80, node_port=30009)))


def test_endpoints_that_users_give() -> None:
    """Those of the port's name and protocol, once each, for Services without a selector alone."""
    bare = service("web", ServicePort(80, 80, name="http"), ServicePort(81, 81, name="other"), selector={})
    ends = (SliceEndpoint("192.168.56.12", "n2"), SliceEndpoint("192.168.56.11"), SliceEndpoint("192.168.56.11"))
    slices = tuple(
        EndpointSlice("default", f"web-{number}", "web", ends, (SlicePort("http", 8080),), SOURCE)
        for number in range(2)
    )
    (found,) = planned(bare, slices=slices).services
    assert [(each.address, each.port, each.node, each.pod) for each in found.ports[0].endpoints] == [
        ("192.168.56.11", 8080, "", ""),
        ("192.168.56.12", 8080, "n2", ""),
    ]
    assert found.ports[1].endpoints == ()
    (selecting,) = planned(service("web", ServicePort(80, 80, name="http")), slices=slices).services
    assert selecting.ports[0].endpoints == ()
