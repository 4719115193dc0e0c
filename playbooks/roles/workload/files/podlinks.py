"""The networks of pods for podctl: a namespace ``pod-<key>`` each, and a veth into cni0. Standard library only.

A pod has its address alone (``/32``, ``/128``), so that it meets the other pods of its node by way of the gateway, too:
what was translated on its way there is translated back (as the CNI plugin ptp has it).
"""

import ipaddress
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NETNS = Path("/run/netns")
BRIDGE_MTU = Path("/sys/class/net/cni0/mtu")
LINK = re.compile(r"pod([0-9a-f]{8})")
INSIDE = """
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
for each in /proc/sys/net/ipv[46]/conf/*/accept_redirects; do echo 0 >"$each"; done
exec ip -batch -
"""


def links():
    """The host ends of the pods' veths by key; true where it is up, as large as the bridge, and reflects."""
    shown = json.loads(run("ip", "-json", "-details", "link", "show"))
    found = {LINK.fullmatch(link["ifname"]): link for link in shown if LINK.fullmatch(link["ifname"])}
    sizes = {link["mtu"] for link in shown if link["ifname"] == "cni0"}
    return {match[1]: is_whole(link) and {link["mtu"]} == sizes for match, link in found.items()}


def is_whole(link):
    """Whether a link is as :func:`attach` makes it."""
    reflects = link.get("linkinfo", {}).get("info_slave_data", {}).get("hairpin")
    return link.get("master") == "cni0" and "UP" in link["flags"] and bool(reflects)


def reaches_out(key, pod, network):
    """Whether the pod sends from its own address by way of its gateway, also to its neighbours, as it was made."""
    ways = [(network["pod_range"], pod["address"], network["gateway"])]
    if "address6" in pod:
        ways.append((network["ipv6"]["pod_range"], pod["address6"], network["ipv6"]["gateway"]))
    for pod_range, address, gateway in ways:
        neighbour = str(ipaddress.ip_network(pod_range)[-1])  # no pod's, but the way there is the way to all others
        asked = ["ip", "-netns", f"pod-{key}", "-json", "route", "get", neighbour]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        route = json.loads(answer.stdout)[0] if answer.returncode == 0 else {}
        if (route.get("prefsrc"), route.get("gateway")) != (address, gateway):
            return False
    return True


def alias_of(pod):
    """What the link says whose it is, as long as the kernel takes it."""
    return f"{pod['namespace']}/{pod['name']}"[:250]


def detach(keys):
    """Take the pods' networks away."""
    # The veth first: it goes at once, while a namespace is emptied only later, when a new pod may want the name.
    # A veth may vanish under our hands, when somebody deleted its namespace just before: only what is left counts.
    ends = links()
    gone = "".join(f"link delete pod{key}\n" for key in keys if key in ends)
    subprocess.run(["ip", "-force", "-batch", "-"], input=gone, capture_output=True, text=True, timeout=60, check=False)
    if left := sorted(set(keys) & set(links())):
        sys.exit(f"links that cannot be deleted: {', '.join(f'pod{key}' for key in left)}")
    named = "".join(f"netns delete pod-{key}\n" for key in keys if (NETNS / f"pod-{key}").exists())
    run("ip", "-batch", "-", stdin=named)


def attach(pods, network):
    """The pods' networks: namespaces with an address each, and the bridge's address as their gateway."""
    size = BRIDGE_MTU.read_text().strip()  # podnet has made it fit the ways to other nodes
    lines = []
    for key, pod in pods.items():
        # A hardware address that follows from the pod's: who knows it still knows it when the pod is replaced.
        hardware = "0a:58:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(pod["address"]).packed)
        lines += [
            f"netns add pod-{key}",
            f"link add pod{key} mtu {size} type veth peer name eth0 mtu {size} address {hardware} netns pod-{key}",
            f"link set pod{key} alias {alias_of(pod)} master cni0 up",
            # Where bridges call iptables (br_netfilter), what a pod sends to itself by a Service is bridged back.
            f"link set pod{key} type bridge_slave hairpin on",
        ]
    run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def inside(key):
        # Redirects are ignored: IPv6 has no setting by which the node would send none, and they lead past it.
        set_up = "link set lo up\n" + way_out(pods[key]["address"], network["gateway"], "0.0.0.0/0")
        if "address6" in pods[key]:
            set_up += way_out(pods[key]["address6"], network["ipv6"]["gateway"], "::/0")
        run("ip", "netns", "exec", f"pod-{key}", "sh", "-euc", INSIDE, stdin=set_up)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(inside, pods))


def way_out(address, gateway, everywhere):
    """The commands for an address and the way from it to everybody."""
    known = "" if ":" not in address else " nodad"  # it can be asked as soon as the pod runs
    return (
        f"address add {address} dev eth0{known}\nlink set eth0 up\n"
        f"route add {gateway} dev eth0\nroute add {everywhere} via {gateway}\n"
    )


def run(*words, stdin=None, timeout=60):
    """Run a program that has to succeed and return what it printed; ends this program with its words otherwise."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words[:4])}: {done.stderr.strip() or done.returncode}")
    return done.stdout
