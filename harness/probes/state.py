"""Questions to the nodes about themselves, by testinfra over the lab's own ``ssh_config``.

The probes say what the data plane does; this says why. A node that does not answer is a value, not an exception.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import testinfra

from harness.errors import RigError
from harness.model.cluster import Cluster
from harness.model.forwarder import FORWARDERS
from harness.model.observation import Facts6, NodeFacts, Unready
from harness.model.plan import Plan
from harness.plan.pod_network import DEVICE, VXLAN
from harness.probes import become, connections, routes, ruleset, status, versions

_STATUS = "/run/nodeport/status.json"
_NODEPORTD = "/usr/bin/python3 -E /usr/local/lib/nodeport/nodeportd"
_RELAY = "nodeport-socat.service"
_PODCTL = "/usr/local/lib/nodeport/podctl"
_PODNET = "/usr/local/lib/nodeport/podnet"
_BUSY = 3
"""The exit code of ``nodeportd drift`` when what forwards does not answer in time."""
_DRIFT_LINES = 10
_COMMAND_SECONDS = 20
_TIMED_OUT = 124
"""What timeout(1) ends with."""


class Unanswered(Exception):
    """A node does not answer a question that every node can answer; the text says which and why."""


def ask(cluster: Cluster, plan: Plan) -> tuple[NodeFacts, ...]:
    """What every node says of itself, all asked at once, in the order of the cluster's nodes."""
    with ThreadPoolExecutor(max_workers=min(32, max(1, len(cluster.nodes)))) as pool:
        return tuple(pool.map(lambda node: _ask(cluster, plan, node.name), cluster.nodes))


def _ask(cluster: Cluster, plan: Plan, node: str) -> NodeFacts:
    try:
        return _facts(host(cluster, node), plan, node)
    except (RuntimeError, AssertionError, OSError, ValueError, RigError, Unanswered) as error:
        # RuntimeError is what testinfra makes of ssh's own exit code 255, with the command's result in it
        return NodeFacts(node, reachable=False, error=_last_line(error))


def host(cluster: Cluster, node: str) -> Any:
    """testinfra's view of a node, as root. A scheme is always given: without one, testinfra would ask this machine."""
    found = testinfra.get_host(f"ssh://{node}", ssh_config=str(cluster.ssh_config), ssh_extra_args="-o BatchMode=yes")
    become.root(cluster, node).teach(found.backend)
    return found


def _facts(host: Any, plan: Plan, node: str) -> NodeFacts:
    generation, forwarder_error, unready = _status(host)
    rules_text = _output(host, "nft -s -t list ruleset")
    rules = ruleset.read(rules_text)
    backend = plan.node(node).backend
    drift, busy = _drift(host)
    there = _forwarding(host, rules_text)
    hidden = "client-address" not in FORWARDERS[backend].features
    return NodeFacts(
        node=node,
        reachable=True,
        versions=versions.read(_output(host, shlex.join(versions.QUESTION))),
        generation=generation,
        forwarder_running=host.service("nodeportd.service").is_running,
        forwarder_error=forwarder_error,
        drift=drift,
        busy=busy,
        backend=backend,
        table_present=backend in there,
        leftovers=tuple(name for name in there if name != backend),
        masquerade_present=hidden or ruleset.masquerades(rules),
        ip_forward=host.sysctl("net.ipv4.ip_forward") == 1,
        missing_routes=routes.missing(plan, node, _listed(_output(host, "ip -json -4 route show"))),
        pods_not_running=tuple(_pods_not_running(host, plan, node)),
        foreign_drops=ruleset.foreign_drops(rules),
        unready=unready,
        tunnel=DEVICE if plan.pod_network == VXLAN else "",
        network_drift=tuple(_network_drift(host)),
        connections=connections.read(_output(host, shlex.join(connections.QUESTION))),
        six=_six(host, plan, node, rules_text) if plan.node(node).address6 else None,
    )


def _six(host: Any, plan: Plan, node: str, rules_text: str) -> Facts6:
    """What concerns IPv6; only a forwarder of rules has a table of it."""
    forwarder = FORWARDERS[plan.node(node).backend]
    able = "ipv6" in forwarder.features and not forwarder.accepts
    return Facts6(
        table_present=not able or ruleset.OURS6 in ruleset.tables(rules_text),
        masquerade_present=not able or ruleset.masquerades(ruleset.read(rules_text), ruleset.OURS6),
        forwards=host.sysctl("net.ipv6.conf.all.forwarding") == 1,
        missing_routes=routes.missing6(plan, node, _listed(_output(host, "ip -json -6 route show"))),
    )


def _forwarding(host: Any, rules_text: str) -> list[str]:
    """The forwarders of ours that are there, in force or left over."""
    found = ["nftables"] if ruleset.OURS in ruleset.tables(rules_text) else []
    return [*found, "socat"] if host.service(_RELAY).is_running else found


def _status(host: Any) -> tuple[int | None, str, tuple[Unready, ...]]:
    """The generation that nodeportd runs, the error that it reports, the pods that it does not use."""
    done = _run(host, f"cat {_STATUS} /proc/uptime")
    if done.rc != 0:
        return None, "", ()
    try:
        return status.read(done.stdout)
    except ValueError as error:
        return None, f"{_STATUS} cannot be read: {error}", ()


def _drift(host: Any) -> tuple[tuple[str, ...], str]:
    """What nodeportd finds altered in its table, or why it cannot tell; and why it has no time to, empty if it has."""
    done = _run(host, f"{_NODEPORTD} drift")
    lines = done.stdout.strip().splitlines()
    if done.rc == _BUSY:
        return (), _last_line(done.stderr)
    if done.rc != 0 and not lines:
        return (f"`nodeportd drift` cannot tell: {_last_line(done.stderr)}",), ""
    more = [f"and {len(lines) - _DRIFT_LINES} more"] if len(lines) > _DRIFT_LINES else []
    return (*lines[:_DRIFT_LINES], *more), ""


def _network_drift(host: Any) -> Iterator[str]:
    """What podnet would do to the pod network, routes aside, which are asked for; why, when it cannot tell."""
    done = _run(host, f"{_PODNET} check")
    if done.rc != 0:
        yield f"`podnet check` cannot tell: {_last_line(done.stderr)}"
        return
    told = msgspec.json.decode(done.stdout or "{}", type=dict[str, list[str]])
    yield from [line for line in told.get("commands", ()) if not line.startswith("route")][:_DRIFT_LINES]


def _pods_not_running(host: Any, plan: Plan, node: str) -> Iterator[str]:
    """Keys of the pods planned for this node whose unit does not run, or runs an earlier pod of that name."""
    done = _run(host, f"{_PODCTL} list")
    running = {
        (f"{pod.get('namespace')}/{pod.get('name')}", pod.get("uid"))
        for pod in (_listed(done.stdout) if done.rc == 0 else ())
        if pod.get("state") == "active"
    }
    yield from (pod.key for pod in plan.pods if pod.node == node and (pod.key, pod.uid) not in running)


def _run(host: Any, command: str) -> Any:
    """Ask; raises :class:`Unanswered` when no answer comes in time, which says nothing of what was asked for."""
    done = host.run(f"timeout {_COMMAND_SECONDS} {command}")
    if done.rc == _TIMED_OUT:
        raise Unanswered(f"`{command}` took longer than {_COMMAND_SECONDS} s")
    return done


def _output(host: Any, command: str) -> str:
    """What a command printed that works on every node; raises :class:`Unanswered` when it does not."""
    done = _run(host, command)
    if done.rc != 0:
        raise Unanswered(f"`{command}` failed: {_last_line(done.stderr)}")
    return str(done.stdout)


def _listed(text: str) -> Sequence[Mapping[str, object]]:
    try:
        return msgspec.json.decode(text or "[]", type=list[dict[str, object]])
    except msgspec.DecodeError as error:
        raise Unanswered(f"not a list in JSON: {error}") from error


def _last_line(said: object) -> str:
    """The last line of some text, of an exception, or of the command's result that is in one."""
    result = said.args[0] if isinstance(said, BaseException) and said.args else said
    lines = str(getattr(result, "stderr", result)).strip().splitlines()
    return lines[-1] if lines else "no answer"
