"""What is in the way on a node, in words; the role preflight asks, with what ``look.py`` found.

In Python, because every expression of a playbook is compiled anew in each worker that meets it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

OLDEST = {"kernel": (5, 13), "python": (3, 11), "nft": (1, 0, 1)}
ENOUGH = 16777216
"""Bytes that a file system with our files has free."""
PUNCTUAL = 300
"""Seconds that the node's clock may be off."""

# How each firewall is told to let pods' packets through; RANGE, CHAIN and TABLE are filled in.
ADVICE = {
    "nft": "nft insert rule TABLE CHAIN ip daddr RANGE accept, and with saddr",
    "iptables": "iptables -I CHAIN -d RANGE -j ACCEPT, and with -s",
    "iptables-legacy": "iptables-legacy -I CHAIN -d RANGE -j ACCEPT, and with -s",
    "docker": "iptables -I DOCKER-USER -d RANGE -j ACCEPT, and with -s",
    "ufw": "ufw route allow to RANGE",
    "firewalld": "a policy from zone ANY to zone ANY that accepts packets to RANGE (man firewalld.policies)",
}


def in_the_way(found: Mapping[str, Any], node: Mapping[str, Any], accepted: Collection[str]) -> list[str]:
    """All that is amiss and what to do about it, save the checks whose names are in ``accepted``.

    ``node`` has ``address``, ``address6``, ``cluster_range``, ``node_ports`` and ``vxlan`` as the role takes them.
    """
    checks = (*_programs(found), *_network(found, node), *_rivals(found, node), *_machine(found["guest"]))
    return [say for name, say in checks if say and name not in accepted]


def _programs(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not found["systemd"]:
        yield "systemd", "systemd does not run here: a node is a machine, or a container that boots systemd"
    if _older(found, "kernel"):
        yield "kernel", f"the kernel {found['kernel']} is too old: boot 5.13 or later"
    if _older(found, "python"):
        yield "python", f"Python {found['python']} is too old: install 3.11 or later"
    if found["nft"] and _older(found, "nft"):
        yield "nft", f"nft {found['nft']} is too old: install nftables 1.0.1 or later"


def _older(found: Mapping[str, Any], program: str) -> bool:
    numbers = re.match(r"[\d.]*", found[program])
    return tuple(int(number) for number in numbers[0].split(".") if number) < OLDEST[program] if numbers else True


def _network(found: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("address", "address6"):
        if not found[f"has_{name}"]:
            yield name, f"no interface has the address {node[name]}: mend nodeport_{name} in the inventory"
    if found["foreign_bridge"]:
        there = "there is an interface cni0 that is not ours"
        yield "bridge", f"{there}: remove the other pod network, or take another node"
    if found["overlapping"]:
        there = f"routes that are not ours lead into the range of the pods, {node['cluster_range']}"
        yield "routes", f"{there}: remove {', '.join(found['overlapping'])}"
    yield "far", "; ".join(_far(found, node))
    if found["vxlan_rivals"]:
        there = f"the pod network vxlan cannot be, {', '.join(found['vxlan_rivals'])}"
        yield "vxlan", f"{there}: set pod_network_vni or pod_network_vxlan_port for all nodes"


def _far(found: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[str]:
    """Other nodes that are out of reach; a VXLAN needs no more than some way to them."""
    for other in found["far"]:
        if not other["how"]:
            yield (
                f"the node {other['node']} is nowhere (no route leads to it): mend the routes of this node, or "
                "nodeport_address of that one"
            )
        elif not node["vxlan"]:
            yield (
                f"the node {other['node']} is not on a network of this node ({other['how']}): routes to its pods "
                "cannot be, take the pod network vxlan"
            )


def _rivals(found: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    taken = [f"{port} by {process}" for port, process in found["listening"].items() if port in node["node_ports"]]
    if taken:
        yield "ports", f"nodePorts are taken, {', '.join(taken)}: end these processes, or choose other nodePorts"
    rivals = found["guest"]["node_port_rivals"]
    if rivals:
        there = f"something else serves nodePorts here, {', '.join(rivals)}"
        yield "rivals", f"{there}: take it off the node, or take another node"
    yield "firewall", "; ".join(_wall(wall, node["cluster_range"]) for wall in found["guest"]["firewalls"])


def _wall(wall: Mapping[str, Any], cluster_range: str) -> str:
    advice = ADVICE[wall["owner"]].replace("RANGE", cluster_range)
    advice = advice.replace("CHAIN", wall["chain"]).replace("TABLE", wall["table"])
    at_the_door = wall["hook"] in ("prerouting", "input")
    return (
        f"the firewall {wall['owner']} drops what comes {', '.join(wall['drops'])} (table {wall['table']}, chain "
        f"{wall['chain']}, hook {wall['hook']}): let "
        f"{'these ports through' if at_the_door else f'packets of pods through, {advice}'}"
    )


def _machine(guest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if guest["read_only"]:
        there = ", ".join(guest["read_only"])
        yield "read-only", f"{there} cannot be written: mount it read-write (mount -o remount,rw)"
    full = [path for path, free in guest["free"].items() if free < ENOUGH]
    if full:
        yield "disk", f"the disk is full, less than 16 MiB are free at {', '.join(full)}: make room"
    ahead = round(guest["time"] - time.time())
    if abs(ahead) > PUNCTUAL:
        off = f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        mend = "logs would mislead and packages be refused: set it (timedatectl set-ntp true)"
        yield "clock", f"the clock is {off}, so {mend}"


def peers(network: Mapping[str, Any]) -> list[str]:
    """The addresses of the other nodes, of a node's ``network``."""
    return [route["via"] for route in network["routes"] if route["via"] != network["gateway"]]


def taken(services: Sequence[Mapping[str, Any]]) -> list[str]:
    """The nodePorts of a node's services, such as ``30008/TCP``."""
    ports = [port for service in services for port in service["ports"] if port["node_port"]]
    return [f"{port['node_port']}/{port['protocol']}" for port in ports]


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """The filters, by the names that playbooks use."""
        return {"nodeport_in_the_way": in_the_way, "nodeport_peers": peers, "nodeport_taken": taken}
