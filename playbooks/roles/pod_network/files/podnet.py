#!/usr/bin/python3 -SE
"""Bring this node's pod network to what /etc/nodeport/network.json says.

    podnet apply    make the bridge cni0 and the routes to other nodes' pod ranges; JSON of what changed
    podnet check    the same JSON of what apply would change; changes nothing
    podnet remove   take away the bridge and our routes

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


def wanted():
    """The gateway with its prefix, and the routes as {range: next hop}; ends the program when they cannot be right."""
    try:
        network = json.loads(WANTED.read_text())
        prefix = ipaddress.ip_network(network["pod_range"]).prefixlen
        gateway = f"{ipaddress.IPv4Address(network['gateway'])}/{prefix}"
        routes = {
            str(ipaddress.ip_network(route["to"])): str(ipaddress.IPv4Address(route["via"]))
            for route in network["routes"]
        }
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{WANTED}: {error}")
    return gateway, routes


def bridge_addresses():
    """The IPv4 addresses of the bridge, ``None`` when there is no bridge or it is down."""
    links = [link for link in ask("-4", "address", "show") if link.get("ifname") == BRIDGE and "UP" in link["flags"]]
    if not links:
        return None
    return {f"{info['local']}/{info['prefixlen']}" for info in links[0]["addr_info"] if info["family"] == "inet"}


def our_routes():
    """The routes that carry our protocol number, as {range: next hop}."""
    return {route["dst"]: route.get("gateway", "") for route in ask("-4", "route", "show", "proto", PROTOCOL)}


def changes():
    """The ``ip`` commands that lead from what is to what is wanted."""
    gateway, routes = wanted()
    addresses, present = bridge_addresses(), our_routes()
    lines = []
    if addresses is None:
        exists = any(link.get("ifname") == BRIDGE for link in ask("link", "show"))
        lines += [] if exists else [f"link add {BRIDGE} type bridge"]
        lines.append(f"link set {BRIDGE} up")
    if gateway not in (addresses or set()):
        lines.append(f"address replace {gateway} dev {BRIDGE}")
    lines += [f"address delete {other} dev {BRIDGE}" for other in sorted((addresses or set()) - {gateway})]
    lines += [f"route delete {range_} proto {PROTOCOL}" for range_ in sorted(set(present) - set(routes))]
    lines += [
        f"route replace {range_} via {via} proto {PROTOCOL}"
        for range_, via in sorted(routes.items())
        if present.get(range_) != via
    ]
    return lines


def removal():
    """The ``ip`` commands that take our network away."""
    exists = any(link.get("ifname") == BRIDGE for link in ask("link", "show"))
    routes = [f"route delete {range_} proto {PROTOCOL}" for range_ in sorted(our_routes())]
    return routes + ([f"link delete {BRIDGE}"] if exists else [])


def ask(*words):
    """What ``ip -json`` answers."""
    return [entry for entry in json.loads(run("ip", "-json", *words) or "[]") if entry]


def run(*words, stdin=None):
    """Run a program that has to succeed and return what it printed; ends this program with its words otherwise."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def main(verb):
    """Carry out one verb."""
    if verb not in ("apply", "check", "remove"):
        sys.exit(__doc__)
    lines = removal() if verb == "remove" else changes()
    if lines and verb != "check":
        run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
    print(json.dumps({"commands": lines} if lines else {}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
