"""What of a machine's own is in the way of nodePorts: its firewalls, other NodePort implementations, its disks.

Changes nothing. ``settings`` are those of ``look.py``. Standard library only.
"""

import ipaddress
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import firewall

WRITTEN = ("/etc", "/run", "/usr/local/lib", "/var/lib")
VXLAN = "nodeport-vxlan"
SAVERS = {"ip": "iptables-nft-save", "legacy": "iptables-legacy-save"}
"""Both of Debian's iptables: which one the administrator uses is not known, and both may have rules."""


def printed(*words):
    """What a program prints, empty when it fails or is not there."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def obstacles(settings):
    """Everything that the role preflight judges of a machine that was somebody's before us."""
    nft = printed("nft", "-j", "list", "ruleset")
    found = firewall.from_nft(nft)
    by_iptables = set()
    for family, saver in SAVERS.items():  # it tells its own rules better than nft does
        saved = {f"{family} {name}": table for name, table in firewall.from_iptables(printed(saver)).items()}
        found.update(saved)
        by_iptables.update(saved)
    others = {name: table for name, table in found.items() if name not in ("ip nodeport", "ip6 nodeport")}
    return {
        "firewalls": list(blocking(others, by_iptables, packets(settings))),
        "node_port_rivals": list(rivals(nft)),
        "read_only": [path for path in WRITTEN if os.statvfs(path).f_flag & os.ST_RDONLY],
        "free": {path: shutil.disk_usage(path).free for path in WRITTEN},
        "time": time.time(),
    }


def packets(settings):
    """What comes by on the way to a nodePort, with a word on each: where a pod answers, and where it does not."""
    outside = interface(settings["address"])
    across = VXLAN if settings["vxlan_port"] else outside
    pod = str(ipaddress.ip_network(settings["cluster_range"])[2])
    new = {"saddr": None, "daddr": pod, "proto": "tcp", "dport": None, "state": frozenset({"new"})}
    back = {**new, "saddr": pod, "daddr": None, "state": frozenset({"established"})}
    dnat, plain = {"status": frozenset({"dnat"})}, {"status": frozenset()}
    came, left = {"iif": outside, "hook": "forward"}, {"iif": None, "hook": "output"}
    translates = settings["backend"] == "nftables"
    if translates:
        yield "from outside to a pod of this node", {**new, **came, **dnat, "oif": "cni0"}
    if translates or not settings["alone"]:
        yield "from another node to a pod of this node", {**new, **came, **plain, "iif": across, "oif": "cni0"}
        sent = {"iif": "cni0", "oif": outside} if translates else {"iif": "cni0", "oif": across}
        yield "back from pods of this node", {**back, **came, **(dnat if translates else plain), **sent}
    for kind in (
        (plain, dnat) if translates else (plain,)
    ):  # plain: whether it is ready, or what a relay asks for others
        yield "from this node to a pod of its own", {**new, **left, **kind, "oif": "cni0"}
    yield "back to this node from a pod of its own", {**back, **plain, "iif": "cni0", "oif": None, "hook": "input"}
    if not settings["alone"]:
        yield "from this node to a pod of another node", {**new, **left, **plain, "oif": across}
        yield "back to this node from a pod of another node", {
            **back, **plain, "iif": across, "oif": None, "hook": "input",
        }  # fmt: skip
    if translates and not settings["alone"]:
        yield "from outside to a pod of another node", {**new, **came, **dnat, "oif": across}
        yield "from this node to a pod of another node", {**new, **left, **dnat, "oif": across}
    yield from arriving(settings, {**new, **came, **plain, "oif": None}, own=not translates)
    yield from wrapped(settings, {**new, **plain, "iif": None, "oif": None, "proto": "udp"})


def arriving(settings, packet, *, own):
    """What comes to nodePorts; with ``own`` a process of the node itself accepts it, past the input chains."""
    ports = [name.partition("/")[::2] for name in settings["node_ports"]]
    for hook in ("prerouting", *(["input"] if own else [])):
        for port, protocol in ports:
            meant = {"daddr": settings["address"], "dport": int(port), "proto": protocol.lower()}
            yield f"to nodePort {port}/{protocol}", {**packet, **meant, "hook": hook}


def wrapped(settings, packet):
    """What nodes send each other in a VXLAN."""
    port, own = settings["vxlan_port"], settings["address"]
    for peer in settings["peers"] if port else ():
        said = f"by VXLAN (UDP port {port}) between {own} and {peer}"
        for hook in ("prerouting", "input"):
            yield said, {**packet, "hook": hook, "saddr": peer, "daddr": own, "dport": port}
        yield said, {**packet, "hook": "output", "saddr": own, "daddr": peer, "dport": port}


def blocking(tables, by_iptables, wanted):
    """Chains that drop wanted packets for certain: where they are, whose, and what they drop."""
    dropped = {}
    for what, packet in wanted:
        for name, table in tables.items():
            for chain in firewall.drops(table, packet):
                dropped.setdefault((name, chain, packet["hook"]), []).append(what)
    for (name, chain, hook), whats in dropped.items():
        owner = owner_of(name, tables[name], name in by_iptables)
        yield {"table": name, "chain": chain, "hook": hook, "owner": owner, "drops": list(dict.fromkeys(whats))}


def owner_of(name, table, by_iptables):
    """Who manages a table, as far as its chains tell."""
    for owner, mark in (("ufw", "ufw-"), ("docker", "DOCKER")):
        if any(chain.startswith(mark) for chain in table):
            return owner
    if by_iptables:
        return "iptables-legacy" if name.startswith("legacy ") else "iptables"
    return "firewalld" if name.endswith(" firewalld") else "nft"


def rivals(nft):
    """Other implementations of NodePort, by what they leave on a machine."""
    if '"name": "kube-proxy"' in nft:
        yield "kube-proxy (nftables table kube-proxy)"
    if any(" KUBE-NODEPORTS " in printed(saver) for saver in SAVERS.values()):
        yield "kube-proxy (iptables chain KUBE-NODEPORTS)"
    virtual = Path("/proc/net/ip_vs")
    if Path("/sys/class/net/kube-ipvs0").exists():
        yield "kube-proxy (IPVS, interface kube-ipvs0)"
    elif virtual.exists() and len(virtual.read_text().splitlines()) > 3:  # three lines are its heading
        yield "virtual servers of IPVS"


def interface(address):
    """The interface that has an address, empty when none has."""
    for link in json.loads(printed("ip", "-json", "-4", "address", "show") or "[]"):
        if any(info.get("local") == address for info in link.get("addr_info", ())):
            return link["ifname"]
    return ""
