"""Kubernetes objects that are right but for what somebody meant ill with, as strategies of hypothesis."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_EVIL: tuple[Any, ...] = (
    "web;flush ruleset", "$(reboot)", "`id`", "{ drop }", "web\nadd table ip x", 'web"', "web'", "\u2028", "../../etc",
    "%n%h%%", "a\\x20b", "\\", "a\r\nX: y", "{{ lookup('pipe', 'reboot') }}", "{%print(7)%}", "{#", "web # x", "\x7f",
    "", " ", "é", "a" * 63, "a" * 64, "a" * 254, "0", "-1", "true", "1e3", "Web", "we_b", "::1", "1.2.3.4; x",
    "10.0.0.0/8 } ; drop", ",", "\u0663\u0661\u0660\u0660\u0660", "$IFS", "!unsafe x", "[Service]\nExecStart=/bin/id",
    0, -1, 65536, 29999, 2**63, 8080.5, None, True, [], {}, ["x"], {"x": "y"},
)  # fmt: skip
"""What takes the place of a value, or of a key, of objects that are right."""

_NAMES = st.one_of(
    st.sampled_from(["web", "a", "a" * 63]), st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
)
_PORTS = st.sampled_from([1, 53, 80, 8080, 65535])
_NODE_PORTS = st.sampled_from([30000, 30001, 31000, 32766, 32767])
_HOSTILE_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
_ADDRESSES = st.sampled_from(["203.0.113.7", "203.0.113.8", "192.0.2.255"])
_POLICIES = st.sampled_from(["Local", "Cluster"])
_ANNOTATIONS = st.fixed_dictionaries({}, optional={
    "nodeport.harness/allowed-sources": st.sampled_from(["10.0.0.0/8", "10.0.0.0/8, 10.1.0.0/16", "0.0.0.0/0"]),
    "nodeport.harness/health-check-node-port": st.sampled_from(["31999", "32000"]),
    "anybody.example/else": _HOSTILE_TEXT,
})  # fmt: skip
_LABELS = st.fixed_dictionaries({"app": st.just("web")}, optional={
    "service.kubernetes.io/service-proxy-name": st.just("mesh"), "x": st.sampled_from(["", "a.b_c", "a" * 63]),
})  # fmt: skip


def _both(ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same ports once more for UDP, on the same numbers."""
    return [*ports, *({**port, "name": f"{port['name'][:61]}-u", "protocol": "UDP"} for port in ports)]


_SERVICE_PORTS = st.lists(
    st.fixed_dictionaries(
        {"port": _PORTS, "name": st.sampled_from(["p", "q", "a" * 60])},
        optional={"nodePort": _NODE_PORTS, "targetPort": st.one_of(_PORTS, st.just("http"))},
    ),
    min_size=1, max_size=2, unique_by=(lambda port: port["port"], lambda port: port["name"]),
)  # fmt: skip
_SPEC = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["NodePort", "NodePort", "ClusterIP"]),
        "ports": st.one_of(_SERVICE_PORTS, _SERVICE_PORTS.map(_both)),
    },
    optional={
        "selector": st.just({"app": "web"}),
        "clusterIP": st.sampled_from(["10.96.0.5", "10.96.0.6", "None", ""]),
        "externalIPs": st.lists(_ADDRESSES, max_size=2, unique=True),
        "externalTrafficPolicy": _POLICIES,
        "internalTrafficPolicy": _POLICIES,
        "publishNotReadyAddresses": st.booleans(),
    },
)
_AFFINITY = st.sampled_from([
    {}, {"sessionAffinity": "ClientIP"},
    *({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": each}}}
      for each in (1, 86400)),
])  # fmt: skip
_SERVICE = st.builds(
    lambda name, labels, annotations, spec, affinity: {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {**spec, **affinity},
    },
    _NAMES, _LABELS, _ANNOTATIONS, _SPEC, _AFFINITY,
)  # fmt: skip
_SLICE = st.builds(
    lambda name, service, port, protocol, addresses, serving: {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "p", "port": port, "protocol": protocol}],
        "endpoints": [{"addresses": [each], "nodeName": "n1", "conditions": serving} for each in addresses],
    },
    st.sampled_from(["s-1", "s-2"]), st.sampled_from(["web", "a"]), _PORTS, st.sampled_from(["TCP", "UDP"]),
    st.lists(_ADDRESSES, min_size=1, max_size=2, unique=True),
    st.sampled_from([{}, {"ready": False}, {"ready": False, "serving": True, "terminating": True}]),
)  # fmt: skip
_PROBE = st.builds(
    lambda path, value, port, period: {
        "httpGet": {"path": f"/{path}", "port": port, "httpHeaders": [{"name": "X", "value": value}]},
        "periodSeconds": period,
    },
    _HOSTILE_TEXT, _HOSTILE_TEXT, st.sampled_from([80, "http"]), st.sampled_from([1, 2**31 - 1]),
)  # fmt: skip
_PODS = st.builds(
    lambda name, namespace, probe, grace: {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "containers": [{
                "name": "web", "image": "x", "readinessProbe": probe,
                "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
            }],
        },
    },
    st.one_of(_NAMES, st.just("a." * 120 + "a")), st.sampled_from(["default", "default", "a" * 63]), _PROBE,
    st.sampled_from([0, 30, 2**31 - 1]),
)  # fmt: skip
_OBJECTS = st.builds(
    lambda pods, services, slices: [*pods, *services, *slices],
    st.lists(_PODS, max_size=2), st.lists(_SERVICE, min_size=1, max_size=3), st.lists(_SLICE, max_size=1),
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value within: what holds it, and its key there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(inner):
        yield value, key
        yield from places(each)


@st.composite
def nearly_right(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Objects as they should be, with at most two values, or keys, of which somebody has made something else."""
    objects: list[dict[str, Any]] = copy.deepcopy(draw(_OBJECTS))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        holder, key = draw(st.sampled_from(list(places(objects))))
        evil = draw(st.sampled_from(_EVIL))
        if isinstance(holder, dict) and isinstance(evil, str) and draw(st.booleans()):
            holder[evil] = holder.pop(key)
        else:
            holder[key] = evil
    return objects
