#!/usr/bin/python3
"""Put back what was before the role node_base changed it, as /var/lib/nodeport/before.json remembers it.

    restore.py [--check]    JSON of what was (would be) put back; {} when nothing is to do

Packages that others need by now stay, and are told as ``kept``. Settings of ours of which nothing is remembered (an
earlier version's, or the memory was lost) stay too, and are told as ``unknown``. Standard library only.
"""

import json
import re
import subprocess
import sys
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

BEFORE = Path("/var/lib/nodeport/before.json")
OURS = Path("/etc/sysctl.d/90-nodeport.conf")
SETTINGS = Path("/proc/sys")
CONNTRACK = Path("/run/nodeport/nf_conntrack_max")
"""What nodeportd's unit noted before it raised that limit; it is as short-lived as the limit."""
NETNS = Path("/run/netns")
FIRST = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


def run(*words):
    """Run a program that has to succeed and return what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words[:4])}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def sysctls(wanted, change):
    """Set the settings that differ; those for all interfaces come first, for the kernel sets others along with them."""
    done = {}
    for path, value in sorted(wanted.items(), key=lambda item: item[0] not in FIRST):
        file = SETTINGS / path
        if file.exists() and file.read_text().strip() != value:
            done[path] = value
            if change:
                file.write_text(value)
    return done


def conntrack():
    """The kernel's limit of connections as it was, when it was raised."""
    return {"net/netfilter/nf_conntrack_max": CONNTRACK.read_text().strip()} if CONNTRACK.exists() else {}


def unknown(remembered):
    """Settings that are ours, and of which nobody knows what they were."""
    lines = OURS.read_text().splitlines() if OURS.exists() else []
    ours = [line.partition("=")[0].strip() for line in lines if "=" in line and not line.startswith("#")]
    paths = {setting: setting.replace(".", "/") for setting in ours}
    return [setting for setting in ours if not any(fnmatchcase(path, paths[setting]) for path in remembered)]


def namespaces(was_there, change):
    """Remove the folder of network namespaces, if it was not there and nobody uses it."""
    if was_there or not NETNS.exists() or any(NETNS.iterdir()):
        return False
    if change:
        if any(line.split()[4] == str(NETNS) for line in Path("/proc/self/mountinfo").read_text().splitlines()):
            run("umount", str(NETNS))  # `ip netns` mounts it onto itself, which Path.is_mount does not see
        with suppress(OSError):
            NETNS.rmdir()
    return True


def unit(name, was_active, change):
    """Stop a unit that was not active before."""
    state = subprocess.run(["systemctl", "is-active", "--quiet", name], capture_output=True, check=False, timeout=60)
    if was_active or state.returncode != 0:
        return False
    if change:
        run("systemctl", "stop", name)
    return True


def packages(names, change):
    """Remove packages, each only if no other one goes with it: the removed, and those that stay."""
    states = dict(
        line.rsplit(" ", 1)
        for line in run("dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Status}\n").splitlines()
    )
    ours = [name for name in names if states.get(name) == "installed"]
    left = list(ours)
    while left:
        said = run("apt-get", "--simulate", "--no-auto-remove", "purge", *left)
        goes = set(re.findall(r"^(?:Purg|Remv) (\S+)", said, re.MULTILINE))
        needed = [name for name in left if goes_with(name) - set(ours)] if goes - set(ours) else []
        if not needed:
            break
        left = [name for name in left if name not in needed]
    if left and change:
        run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "--quiet", "--no-auto-remove", "purge", *left)
    return left, [name for name in ours if name not in left]


def goes_with(name):
    """The packages that a removal of this one alone would take along."""
    said = run("apt-get", "--simulate", "--no-auto-remove", "purge", name)
    return set(re.findall(r"^(?:Purg|Remv) (\S+)", said, re.MULTILINE))


def main(*words):
    """Put back, and say what."""
    if words not in ((), ("--check",)):
        sys.exit(__doc__)
    change = not words
    before = json.loads(BEFORE.read_text()) if BEFORE.exists() else {}
    gone, kept = packages(before.get("packages", []), change)
    done = {
        "sysctls": sysctls({**before.get("sysctls", {}), **conntrack()}, change),
        "packages": gone,
        "namespaces": bool(before) and namespaces(before.get("namespaces", True), change),
        "slice": bool(before) and unit(r"system-nodeport\x2dpod.slice", was_active=False, change=change),
        "network_online": bool(before) and unit("network-online.target", before.get("network_online", True), change),
    }
    lost = unknown(before.get("sysctls", {}))
    told = {name: what for name, what in done.items() if what}
    print(json.dumps({"done": told, "kept": kept, "unknown": lost}))


if __name__ == "__main__":
    main(*sys.argv[1:])
