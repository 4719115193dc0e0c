#!/usr/bin/python3
"""What the roles have to know of a node, as one JSON object; changes nothing. Standard library only.

The argument: settings as JSON, {"address", "cluster_range", "node_ports" ("30008/TCP"), "backend", "alone" (whether
there is no other node), "peers" (the other nodes' addresses), "vni", "vxlan_port" (both 0: no VXLAN)}, or none: then
what they are needed for is left out. ``tasks/look.yml`` sends the modules
along. One look for all roles, because every question of Ansible's to a node costs a third of a second.
"""

import hashlib
import ipaddress
import json
import platform
import re
import shutil
import sys
from pathlib import Path

import guest
import ways
from guest import printed

PROGRAMS = Path("/usr/local/lib/nodeport")
BEFORE = Path("/var/lib/nodeport/before.json")
OUR_SETTINGS = Path("/etc/sysctl.d/90-nodeport.conf")
OURS = (
    "/etc/nodeport/**/*",
    f"{PROGRAMS}/**/*",
    "/etc/systemd/system/nodeport*",
    str(OUR_SETTINGS),
    str(BEFORE),
)
OUR_UNITS = ("nodeportd.service", "nodeport-socat.service")
IPV4 = Path("/proc/sys/net/ipv4")
REDIRECTS = "conf/*/send_redirects"
EVERYWHERE = ("*", "0.0.0.0", "::")  # as ss writes it
NEEDED = {
    "conntrack": lambda: shutil.which("conntrack"),
    "iproute2": lambda: shutil.which("ip") and shutil.which("ss"),
    "nftables": lambda: shutil.which("nft"),
    "procps": lambda: shutil.which("sysctl"),
    "socat": lambda: shutil.which("socat"),
    "python3-nftables": lambda: Path("/usr/lib/python3/dist-packages/nftables").is_dir(),
}


def files():
    """Our files by path: mode and digest, as the filter ``nodeport_differing`` compares them."""
    found = [path for pattern in OURS for path in Path("/").glob(pattern[1:]) if path.is_file()]
    return {str(path): fingerprint(path) for path in found if "__pycache__" not in path.parts}


def fingerprint(path):
    """Mode and digest of a file of root's."""
    about = path.stat()
    owner = "" if (about.st_uid, about.st_gid) == (0, 0) else "not root's "
    return f"{owner}{about.st_mode & 0o7777:04o} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def overlapping(cluster_range):
    """Routes into the pods' range that are neither ours (protocol 77) nor of our bridge, in words."""
    family = "-6" if ":" in cluster_range else "-4"
    for route in json.loads(printed("ip", "-json", family, "route", "show") or "[]"):
        foreign = (
            route.get("protocol") != "77"
            and route.get("dev") not in ("cni0", guest.VXLAN)
            and route["dst"] != "default"
        )
        if foreign and ipaddress.ip_network(route["dst"]).overlaps(ipaddress.ip_network(cluster_range)):
            yield " ".join(str(route[key]) for key in ("type", "dst", "gateway", "dev") if key in route)


def listening(addresses):
    """Who else listens where traffic to the node's addresses would arrive: ``30008/TCP`` → process."""
    for line in printed("ss", "-Hlntup").splitlines():
        words = line.split()
        host, _, port = words[4].rpartition(":")
        if host.partition("%")[0].strip("[]") in (*EVERYWHERE, *addresses):
            process = re.search(r'"(.*?)",pid=(\d+)', line)
            if process and any(unit in unit_of(process[2]) for unit in OUR_UNITS):
                continue
            yield f"{port}/{words[0].upper()}", f"{process[1]} (process {process[2]})" if process else "some process"


def unit_of(process):
    """The control group of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{process}/cgroup").read_text()
    except OSError:
        return ""


def as_found():
    """What the role node_base may change, to be remembered for ``restore.py``: settings by their path in /proc/sys.

    The kernel sets ``forwarding`` and ``accept_redirects`` when it is told to forward.
    """
    settings = [
        IPV4 / "ip_forward",
        IPV4 / "conf/all/accept_redirects",
        *sorted(IPV4.glob("conf/*/forwarding")),
        *sorted(IPV4.glob(REDIRECTS)),
    ]
    return {
        "sysctls": {str(path.relative_to("/proc/sys")): path.read_text().strip() for path in settings},
        "namespaces": Path("/run/netns").exists(),
        "network_online": printed("systemctl", "is-active", "network-online.target").strip() == "active",
    }


def later_found():
    """The same of a node that an earlier version of the role set up: of what that did not change yet."""
    told = OUR_SETTINGS.read_text() if OUR_SETTINGS.exists() else ""
    settings = [] if "send_redirects" in told else sorted(IPV4.glob(REDIRECTS))
    return {"sysctls": {str(path.relative_to("/proc/sys")): path.read_text().strip() for path in settings}}


def forwards():
    """Whether the node forwards, and tells nobody of a better way."""
    talks = any(path.read_text().strip() != "0" for path in IPV4.glob(REDIRECTS))
    return (IPV4 / "ip_forward").read_text().strip() == "1" and not talks


def forwarding6():
    """What the role node_base may change where there is IPv6, as the settings of :func:`as_found`."""
    ipv6 = Path("/proc/sys/net/ipv6/conf")
    return {str(path.relative_to("/proc/sys")): path.read_text().strip() for path in sorted(ipv6.glob("*/forwarding"))}


def drift(program):
    """What the program would change by itself, ``None`` when it is not there or cannot say."""
    said = printed(str(PROGRAMS / program), "check")
    return json.loads(said) if said else None


def main(settings="{}"):
    """Look, and print."""
    settings = json.loads(settings)
    address, cluster_range = settings.get("address", ""), settings.get("cluster_range", "")
    address6, range6 = settings.get("address6", ""), settings.get("cluster_range6", "")
    nft = printed("nft", "--version").split()
    bridge = Path("/sys/class/net/cni0").exists()
    others = dict(listening([address, address6]))
    found = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nft": nft[1].lstrip("v") if len(nft) > 1 else "",
        "systemd": Path("/run/systemd/system").is_dir(),
        "missing_packages": [name for name, there in NEEDED.items() if not there()],
        "has_address": f"inet {address}/" in printed("ip", "-4", "address", "show"),
        "has_address6": not address6 or f"inet6 {address6}/" in printed("ip", "-6", "address", "show"),
        "overlapping": [route for each in (cluster_range, range6) if each for route in overlapping(each)],
        "listening": others,
        "far": list(ways.far(settings.get("peers", ()))),
        "vxlan_rivals": list(ways.rivals(settings["vni"], settings["vxlan_port"], others))
        if settings.get("vni")
        else [],
        "foreign_bridge": bridge and not Path("/etc/nodeport/network.json").exists(),
        "files": files(),
        "enabled": [path.name for path in Path("/etc/systemd/system/multi-user.target.wants").glob("nodeport*")],
        "forwards": forwards(),
        "sysctls6": forwarding6(),
        "before": json.loads(BEFORE.read_text()) if BEFORE.exists() else {},
        "now": as_found() if not BEFORE.exists() else later_found(),
        "network": drift("podnet"),
        "pods": drift("podctl"),
        "guest": guest.obstacles(settings) if settings else {},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
