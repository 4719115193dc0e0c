#!/usr/bin/python3 -SE
"""Bring this node's pod network to what /etc/nodeport/network.json says.

    podnet apply           make the bridge cni0 and the routes to other nodes' pod ranges; JSON of what changed
    podnet check [FILE]    the same JSON of what apply would change (if FILE were the wanted network); changes nothing
    podnet remove          take away the bridge and our routes

Our routes carry the route protocol 77, so that nobody else's are ever touched. Standard library only.
"""

import ipaddress
import json
import subprocess
import sys
from pathlib import Path

WANTED = Path("/etc/nodeport/network.json")
BRIDGE = "cni0"
PROTOCOL = "77"


def wanted(path):
    """The gateway with its prefix, and the routes as {range: way}; ends the program when they cannot be right.

    A range by way of the node's own gateway (that of Services) goes into the bridge: what is sent there is translated
    on its way out, but without a route it would not even be sent.
    """
    try:
        network = json.loads(path.read_text())
        pod_range = ipaddress.IPv4Network(network["pod_range"])
        gateway = ipaddress.IPv4Interface(f"{network['gateway']}/{pod_range.prefixlen}")
        routes = {
            str(ipaddress.IPv4Network(route["to"])): _way(ipaddress.IPv4Address(route["via"]), gateway.ip)
            for route in network["routes"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path}: not a pod network: {error!r}")
    if gateway.network != pod_range:
        sys.exit(f"{path}: the gateway {gateway.ip} is not in the pod range {pod_range}")
    return gateway, routes


def _way(via, gateway):
    return f"dev {BRIDGE}" if via == gateway else f"via {via}"


def bridge():
    """The bridge as the kernel shows it, ``None`` when there is none; ends the program when it is no bridge."""
    found = [link for link in ask("-details", "address", "show") if link.get("ifname") == BRIDGE]
    if found and found[0].get("linkinfo", {}).get("info_kind") != "bridge":
        sys.exit(f"there is an interface {BRIDGE} that is not a bridge and not ours: remove it")
    return found[0] if found else None


def our_routes():
    """The routes that carry our protocol number, as {range: way}."""
    return {
        route["dst"]: f"via {route['gateway']}" if "gateway" in route else f"dev {route.get('dev', '')}"
        for route in ask("-4", "route", "show", "proto", PROTOCOL)
    }


def changes(path):
    """The ``ip`` commands that lead from what is to what is wanted."""
    gateway, routes = wanted(path)
    return [*bridge_changes(gateway, bridge()), *route_changes(routes, our_routes())]


def bridge_changes(gateway, link):
    """The commands for the bridge and its address."""
    if link is None:
        # With an address of its own the bridge keeps it. Otherwise it takes over that of a pod's veth, and when this
        # pod goes, the other pods know their gateway by an address that nobody has any more.
        hardware = "0a:58:" + ":".join(f"{byte:02x}" for byte in gateway.ip.packed)
        yield f"link add {BRIDGE} address {hardware} type bridge"
    if link is None or "UP" not in link["flags"]:
        yield f"link set {BRIDGE} up"
    infos = link["addr_info"] if link else []
    has = {f"{info['local']}/{info['prefixlen']}" for info in infos if info["family"] == "inet"}
    if str(gateway) not in has:
        yield f"address add {gateway} dev {BRIDGE}"
    yield from (f"address delete {other} dev {BRIDGE}" for other in sorted(has - {str(gateway)}))


def route_changes(routes, present):
    """The commands for the routes; only a route of ours is ever replaced, one of somebody else is a failure to add."""
    yield from (f"route delete {range_} proto {PROTOCOL}" for range_ in sorted(set(present) - set(routes)))
    for range_, way in sorted(routes.items()):
        if present.get(range_) != way:
            verb = "replace" if range_ in present else "add"
            yield f"route {verb} {range_} {way} proto {PROTOCOL}"


def removal():
    """The ``ip`` commands that take our network away."""
    routes = [f"route delete {range_} proto {PROTOCOL}" for range_ in sorted(our_routes())]
    return routes + ([f"link delete {BRIDGE}"] if bridge() else [])


def ask(*words):
    """What ``ip -json`` answers."""
    return [entry for entry in json.loads(run("ip", "-json", *words) or "[]") if entry]


def run(*words, stdin=None):
    """Run a program that has to succeed and return what it printed; ends this program with its words otherwise."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}\n{stdin or ''}".strip())
    return done.stdout


def main(verb="", *words):
    """Carry out one verb."""
    if verb not in ("apply", "check", "remove") or len(words) > (verb == "check"):
        sys.exit(__doc__)
    lines = removal() if verb == "remove" else changes(Path(words[0]) if words else WANTED)
    if lines and verb != "check":
        run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
    print(json.dumps({"commands": lines} if lines else {}))


if __name__ == "__main__":
    main(*sys.argv[1:])
