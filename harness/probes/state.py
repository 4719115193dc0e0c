"""Questions to the nodes about themselves, by testinfra over the lab's own ``ssh_config``.

The probes say what the data plane does; this says why. A node that does not answer is a value, not an exception.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import testinfra

from harness.model.cluster import Cluster
from harness.model.observation import NodeFacts
from harness.model.plan import Plan

_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_OURS = ("ip", "nodeport")
_NODEPORTD = "/usr/bin/python3 -E /usr/local/lib/nodeport/nodeportd"


def ask(cluster: Cluster, plan: Plan) -> tuple[NodeFacts, ...]:
    """What every node says of itself, all asked at once."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        return tuple(pool.map(lambda node: _ask(cluster, plan, node.name), cluster.nodes))


def _ask(cluster: Cluster, plan: Plan, node: str) -> NodeFacts:
    host = testinfra.get_host(f"ssh://{node}", ssh_config=str(cluster.ssh_config))
    try:
        return _facts(host, plan, node)
    except (RuntimeError, AssertionError, OSError, ValueError) as error:
        # testinfra raises RuntimeError for ssh's own exit code 255, AssertionError for an unexpected one
        return NodeFacts(
            node, reachable=False, error=str(error).strip().splitlines()[-1] if str(error) else "no answer"
        )


def _facts(host: Any, plan: Plan, node: str) -> NodeFacts:
    service = host.service("nodeportd.service")
    status = _json(host, "cat /run/nodeport/status.json", {})
    objects = _json(host, "nft --json list ruleset", {}).get("nftables", [])
    drift = host.run(f"{_NODEPORTD} drift")
    pods = {f"{pod['namespace']}/{pod['name']}": pod for pod in _json(host, "/usr/local/lib/nodeport/podctl list", [])}
    routes = {route["dst"]: route.get("gateway") for route in _json(host, "ip -json -4 route show", [])}
    return NodeFacts(
        node=node,
        reachable=True,
        kernel=host.check_output("uname -r"),
        generation=status.get("generation"),
        forwarder_running=service.is_running,
        forwarder_error=status.get("error", ""),
        drift=tuple(drift.stdout.strip().splitlines()[:10]) if drift.rc else (),
        table_present=any(_table(entry) == _OURS for entry in objects if "table" in entry),
        masquerade_present=any(_masquerades(entry) for entry in objects),
        ip_forward=host.sysctl("net.ipv4.ip_forward") == 1,
        missing_routes=tuple(
            f"{other.pod_range} via {other.address}"
            for other in plan.nodes
            if other.name != node and routes.get(other.pod_range) != other.address
        ),
        pods_not_running=tuple(
            pod.key for pod in plan.pods if pod.node == node and pods.get(pod.key, {}).get("state") != "active"
        ),
        foreign_drops=tuple(_foreign_drops(objects)),
    )


def _json(host: Any, command: str, otherwise: Any) -> Any:
    done = host.run(command)
    return json.loads(done.stdout) if done.rc == 0 and done.stdout.strip() else otherwise


def _table(entry: dict[str, Any]) -> tuple[str, str]:
    table = entry["table"]
    return table["family"], table["name"]


def _masquerades(entry: dict[str, Any]) -> bool:
    rule = entry.get("rule", {})
    ours = (rule.get("family"), rule.get("table")) == _OURS
    return ours and any("masquerade" in statement for statement in rule.get("expr", []))


def _foreign_drops(objects: list[dict[str, Any]]) -> Iterator[str]:
    """Rules and policies of other tables that drop or reject, as ``family table chain: what``."""
    for entry in objects:
        chain, rule = entry.get("chain", {}), entry.get("rule", {})
        if chain.get("policy") == "drop" and chain.get("hook") in _HOOKS and _foreign(chain):
            yield f"{chain['family']} {chain['table']} {chain['name']}: policy drop in hook {chain['hook']}"
        verbs = [verb for statement in rule.get("expr", []) for verb in ("drop", "reject") if verb in statement]
        if verbs and _foreign(rule):
            yield f"{rule['family']} {rule['table']} {rule['chain']}: {verbs[0]} (handle {rule['handle']})"


def _foreign(thing: dict[str, Any]) -> bool:
    return (thing.get("family"), thing.get("table")) != _OURS
