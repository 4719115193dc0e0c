"""Faults for real nodes: what is done to a node, and how it is put right again.

Every fault proves that it is there (``proof``, a command that ends with 0) before anything is concluded from it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.converge import hostvars
from harness.model.cluster import Cluster
from harness.model.plan import Plan, PlannedPod
from harness.session import remote

NODEPORTD = Path(__file__).parents[2] / "playbooks/roles/forwarder/files/nodeportd"
SETTLE = "/usr/bin/python3 -E /usr/local/lib/nodeport/nodeportd settle"


def awaited(what: str) -> str:
    """A script that waits until something holds of ``unready`` in nodeportd's status, a Python expression."""
    look = f"import json; unready = json.load(open('/run/nodeport/status.json'))['unready']; assert {what}"
    return (
        f'for i in $(seq 200); do python3 -c "{look}" 2>/dev/null && exit 0; sleep 0.05; done;'
        " cat /run/nodeport/status.json >&2; exit 1"
    )


UNDISTURBED = 'for i in $(seq 200); do test -z "$(ss -Htn state syn-sent)" && break; sleep 0.05; done; ' + awaited(
    "not unready"
)
"""Waits until a node uses every pod, and no check is under way any more that began while something was broken: its
failure would count a second after all is well."""


@dataclass(frozen=True, slots=True)
class Injection:
    """Shell commands for one node: to break it, to prove that it is broken, to mend it."""

    node: str
    breaks: str
    proof: str
    mends: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name: how it is made, the cause that must be found, and whether a node or a pod must be named.

    ``check`` is one that must fail, where it does not depend on when a readiness check notices.

    ``held`` is for faults that readiness checks notice: nodes that, after a while, do not use the victim any more. The
    cause is then ``later``, if that is another one.
    """

    name: str
    make: Callable[[Plan], Injection]
    cause: str
    names_node: str = ""
    names_pod: bool = False
    held: tuple[str, ...] = ()
    later: str = ""
    check: str = ""


def victim(plan: Plan, node: str = "n2") -> PlannedPod:
    """The pod that pod faults are about: the one on ``node``."""
    return next(pod for pod in plan.pods if pod.node == node)


@contextmanager
def injected(cluster: Cluster, injection: Injection) -> Iterator[None]:
    """The fault, proven, for as long as this holds; mended afterwards whatever happened."""
    try:
        on(cluster, injection.node, injection.breaks)
        on(cluster, injection.node, injection.proof)
        yield
    finally:
        on(cluster, injection.node, injection.mends)
        # Connections begun meanwhile stay half open in conntrack for 120 s, translated as the broken rules said. The
        # next survey meets them as soon as it happens on one of their source ports: true failures, but of this fault.
        for node in cluster.nodes:
            on(cluster, node.name, "conntrack -D -p tcp --state SYN_SENT >/dev/null 2>&1 || test $? = 1")
            on(cluster, node.name, UNDISTURBED)


def on(cluster: Cluster, node: str, script: str) -> str:
    """Run a script on a node; it has to succeed."""
    done = remote.run(cluster, node, ["sh", "-euc", script], timeout=60)
    assert done.ok, f"{node}: {script}: {done.err}{done.out}"
    return done.out


def _settle(plan: Plan) -> str:
    return f"{SETTLE} {plan.generation}"


def _altered(plan: Plan, node: str, alter: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> str:
    """The transaction that gives the web Service other endpoints on one node, behind nodeportd's back."""
    if str(NODEPORTD.parent) not in sys.path:  # nodeportd's own modules write it, in its layout
        sys.path.insert(0, str(NODEPORTD.parent))
    ruleset, ends = importlib.import_module("nodeportd.ruleset"), importlib.import_module("nodeportd.endpoints")
    state = importlib.import_module("nodeportd.state")
    document = hostvars.render(plan)["nodeport_nodes"]
    assert isinstance(document, dict)
    before = ends.effective(state.parse(json.dumps(document[node]["forwarder"]).encode()))
    key = plan.services[0].key
    port = before.services[key][0]
    other = dataclasses.replace(port, everywhere=alter(port.everywhere))
    after = dataclasses.replace(before, services={**before.services, key: (other, *before.services[key][1:])})
    return f"nft -f - <<'END'\n{ruleset.transaction(before, after)}END"


def _without(plan: Plan) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    address = victim(plan).address
    return lambda endpoints: tuple(endpoint for endpoint in endpoints if endpoint[0] != address)


def _twice(plan: Plan) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    address = victim(plan).address
    return lambda endpoints: (*endpoints, next(endpoint for endpoint in endpoints if endpoint[0] == address))


def _table(rules: str) -> str:
    return f"nft -f - <<'END'\ntable inet flt {{\nchain c {{\n{rules}\n}}\n}}\nEND"


def _pod_unit(plan: Plan) -> str:
    pod = victim(plan)
    return hashlib.sha256(pod.key.encode()).hexdigest()[:8]


def _stranger(plan: Plan) -> Injection:
    key = _pod_unit(plan)
    run = (
        f"systemctl stop nodeport-pod@{key}; systemd-run --quiet --unit=stranger"
        f" -p NetworkNamespacePath=/run/netns/pod-{key} -E POD_NAME=stranger -E POD_UID=0000 -E POD_LISTENS=80/TCP"
        " /usr/bin/python3 -SE /usr/local/lib/nodeport/responder.py"
    )
    ready = (
        f"for i in $(seq 100); do curl -sf {victim(plan).address}/hostname | grep -q stranger && exit 0; done; exit 1"
    )
    return Injection("n2", run, ready, f"systemctl stop stranger; systemctl start nodeport-pod@{key}; {_up(plan)}")


def _no_room(node: str) -> Injection:
    """A node's table of connections, full of what others have open; then room for 64 more, so that SSH gets in.

    The limit is the whole machine's, but every network namespace has as many entries of its own. What surveys before
    this one left goes first: of a table that is nearly full the kernel forgets those that are closing.
    """
    line = (
        "-A -p tcp -s 198.51.{}.{} -d 203.0.113.1 --sport {} --dport 9 -t 600 --state ESTABLISHED -u SEEN_REPLY,ASSURED"
    )
    lines = (
        "import sys\nfor n in range(int(sys.argv[1])):\n"
        f"    print('{line}'.format(n >> 20, n >> 12 & 255, 1 + (n & 4095)))"
    )
    return Injection(
        node,
        f'cd /proc/sys/net/netfilter; conntrack -F; python3 -c "{lines}" $(cat nf_conntrack_max) >/tmp/open;'
        " ! conntrack -R /tmp/open; conntrack -D -p tcp -d 203.0.113.1 --sport 1 >/dev/null",
        "cd /proc/sys/net/netfilter; test $(($(cat nf_conntrack_count) + 100)) -gt $(cat nf_conntrack_max)",
        "conntrack -F; rm -f /tmp/open",
    )


def _up(plan: Plan) -> str:
    return f"for i in $(seq 200); do curl -sf {victim(plan).address}/readyz >/dev/null && exit 0; done; exit 1"


FAULTS = (
    Fault("rule missing on one node", lambda plan: Injection(
        "n2", f"nft delete element ip nodeport services '{{ {plan.node('n2').address} . tcp . 30008 }}'",
        "! nft list map ip nodeport services | grep -q 30008", _settle(plan)), "rule-missing",
        names_node="n2", check="answers"),
    Fault("whole ruleset flushed", lambda plan: Injection(
        "n2", "nft flush ruleset", '[ -z "$(nft list ruleset)" ]', _settle(plan)), "ruleset-flushed", names_node="n2"),
    Fault("one pod dead", lambda plan: Injection(
        "n2", f"systemctl stop nodeport-pod@{_pod_unit(plan)}", f"! systemctl is-active nodeport-pod@{_pod_unit(plan)}",
        f"systemctl start nodeport-pod@{_pod_unit(plan)}; {_up(plan)}"),
        "endpoint-dead", names_pod=True, held=("n1", "n2", "n3")),
    Fault("one endpoint left out on one node", lambda plan: Injection(
        "n1", _altered(plan, "n1", _without(plan)), "nft list map ip nodeport endpoints-2 | grep -q 30008",
        _settle(plan)), "endpoint-left-out", names_node="n1", names_pod=True, check="coverage"),
    Fault("one endpoint at double weight", lambda plan: Injection(
        "n1", _altered(plan, "n1", _twice(plan)), "nft list map ip nodeport endpoints-4 | grep -q 30008",
        _settle(plan)), "endpoint-weight", names_node="n1", names_pod=True, check="spread"),
    Fault("pre-DNAT drop on one node", lambda plan: Injection(
        "n2", _table("type filter hook prerouting priority -150; tcp dport 30008 counter drop"),
        "nft list table inet flt", "nft delete table inet flt"), "pre-dnat-drop", names_node="n2"),
    Fault("FORWARD drop", lambda plan: Injection(
        "n2", _table("type filter hook forward priority 0; meta l4proto tcp counter drop"),
        "nft list table inet flt", "nft delete table inet flt"), "forward-drop", names_node="n2", held=("n1", "n3")),
    Fault("ip_forward=0", lambda plan: Injection(
        "n2", "sysctl -qw net.ipv4.ip_forward=0", '[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]',
        "sysctl -qw net.ipv4.ip_forward=1"), "ip-forward", names_node="n2", held=("n1", "n3")),
    Fault("masquerade missing", lambda plan: Injection(
        "n2", "nft flush chain ip nodeport postrouting", "! nft list table ip nodeport | grep -q @hidden",
        _settle(plan)), "masquerade-missing", names_node="n2"),
    Fault("endpoint blackholed on the ingress node", lambda plan: Injection(
        "n1", f"ip route add blackhole {victim(plan).address}/32", "ip route show type blackhole | grep -q 10.",
        f"ip route delete blackhole {victim(plan).address}/32"),
        "endpoint-blackholed", names_node="n1", names_pod=True, held=("n1",), later="endpoint-held-back"),
    Fault("foreign responder on an endpoint's port", _stranger,
        "foreign-responder", names_pod=True, check="responders"),
)  # fmt: skip


NO_ROOM = Fault(
    "no room for more connections", lambda _: _no_room("n2"), "connections-full", names_node="n2", check="node-state"
)
"""It takes longer than the others: what the kernel drops is waited for."""


def _relay_told(alter: str) -> str:
    """Tells the relay of a node other routes, behind nodeportd's back; ``alter`` changes ``each``, a route."""
    return f"""/usr/bin/python3 - <<'END'
import json, socket
def ask(question):
    line = socket.socket(socket.AF_UNIX)
    line.connect("/run/nodeport-socat/control")
    line.sendall(json.dumps(question).encode())
    line.shutdown(socket.SHUT_WR)
    return json.loads(line.makefile("rb").read())
routes = ask({{}})["routes"]
for each in routes:
    {alter}
assert not ask({{"routes": routes}})["faults"]
END"""


def _targets(change: str) -> str:
    return _relay_told(f'each["everywhere"] = each["outside"] = [{change}]')


_CAUSES_OF_SOCAT = {
    "pre-DNAT drop on one node": "input-drop",
    "endpoint blackholed on the ingress node": "backend-unreachable",  # no retry draws another pod
}
_ALSO_OF_SOCAT = {"one pod dead", "FORWARD drop", "ip_forward=0", "foreign responder on an endpoint's port",
                  *_CAUSES_OF_SOCAT}  # fmt: skip

OF_SOCAT = (
    Fault("relay stopped on one node", lambda plan: Injection(
        "n2", "systemctl stop nodeport-socat", "! systemctl is-active nodeport-socat", _settle(plan)),
        "relay-down", names_node="n2"),
    Fault("one endpoint left out on one node", lambda plan: Injection(
        "n1", _targets(f'end for end in each["everywhere"] if end[0] != "{victim(plan).address}"'),
        "! /usr/bin/python3 -E /usr/local/lib/nodeport/nodeportd drift", _settle(plan)),
        "endpoint-left-out", names_node="n1", names_pod=True, check="coverage"),
    Fault("one endpoint at double weight", lambda plan: Injection(
        "n1", _targets(f'end for end in each["everywhere"] for _ in range(1 + (end[0] == "{victim(plan).address}"))'),
        "! /usr/bin/python3 -E /usr/local/lib/nodeport/nodeportd drift", _settle(plan)),
        "endpoint-weight", names_node="n1", names_pod=True, check="spread"),
    Fault("relay stopped in its tracks", lambda plan: Injection(
        "n2", "systemctl kill --kill-who=main -s STOP nodeport-socat",
        "grep -q '^State:.T' /proc/$(systemctl show -P MainPID nodeport-socat)/status",
        "systemctl kill --kill-who=main -s CONT nodeport-socat"), "relay-stuck", names_node="n2"),
    Fault("input drop on one node", lambda plan: Injection(
        "n2", _table("type filter hook input priority 0; tcp dport 30008 counter drop"),
        "nft list table inet flt", "nft delete table inet flt"), "input-drop", names_node="n2"),
    *(dataclasses.replace(fault, cause=_CAUSES_OF_SOCAT.get(fault.name, fault.cause))
      for fault in FAULTS if fault.name in _ALSO_OF_SOCAT),
)  # fmt: skip
"""Those of nodes that forward by socat."""
