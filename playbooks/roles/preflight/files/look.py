#!/usr/bin/python3
"""What preflight has to know of a node, as one JSON object; changes nothing. Standard library only.

Arguments: the node's address, the packages it should have.
"""

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path


def printed(*words):
    """What a program prints, empty when it fails or is not there."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False).stdout
    except OSError:
        return ""


def main(address, packages):
    """Look, and print."""
    shown = printed("dpkg-query", "-W", "-f=${Package} ${db:Status-Abbrev}\n", *packages)
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith("ii ")}
    forward = Path("/etc/sysctl.d/90-nodeport.conf")
    listening = printed("ss", "-Hltnu").split("\n")
    version = printed("nft", "--version").split()
    found = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nft": version[1].lstrip("v") if len(version) > 1 else "",
        "systemd": Path("/run/systemd/system").is_dir(),
        "iproute2": shutil.which("ip") is not None,
        "has_address": f"inet {address}/" in printed("ip", "-4", "address", "show"),
        "missing_packages": sorted(set(packages) - installed),
        "prepared": Path("/etc/nodeport").is_dir() and Path("/usr/local/lib/nodeport").is_dir(),
        "forwards": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1",
        "forwards_at_boot": forward.exists() and "net.ipv4.ip_forward = 1" in forward.read_text(),
        "listening": sorted({line.split()[4].rpartition(":")[2] for line in listening if len(line.split()) > 4}),
        "foreign_routes": [
            route["dst"]
            for route in json.loads(printed("ip", "-json", "-4", "route", "show") or "[]")
            if route.get("protocol") != "77" and route.get("dev") != "cni0" and route["dst"] != "default"
        ],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
