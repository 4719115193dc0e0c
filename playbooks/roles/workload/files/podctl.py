#!/usr/bin/python3 -SE
"""Bring this node's pods to what /etc/nodeport/pods.json says.

    podctl sync              start what is missing, replace what changed, remove the rest; JSON of what changed
    podctl check             the same JSON of what sync would change; changes nothing
    podctl list              the wanted pods and how they run, as JSON
    podctl exec POD -- CMD   run a command in a pod's network namespace

A pod is a network namespace ``pod-<key>`` with a veth into cni0, and the unit ``nodeport-pod@<key>.service`` in it. The
key is eight hex digits of sha256("namespace/name"): safe in paths, unit and interface names, whatever a pod is called.
Standard library only.
"""

import hashlib
import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

WANTED = Path("/etc/nodeport/pods.json")
NETWORK = Path("/etc/nodeport/network.json")
RUNNING = Path("/run/nodeport/pods")
NETNS = Path("/run/netns")
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
READY_SECONDS = 15.0


def key_of(pod):
    """The pod's key in paths and names."""
    return hashlib.sha256(f"{pod['namespace']}/{pod['name']}".encode()).hexdigest()[:8]


def unit_of(key):
    """The unit that runs a pod."""
    return f"nodeport-pod@{key}.service"


def wanted():
    """The wanted pods by key; ends the program with all reasons when the file cannot be right."""
    pods = json.loads(WANTED.read_text()) if WANTED.exists() else []
    faults = [fault for pod in pods for fault in faults_of(pod)]
    if faults:
        sys.exit("\n".join(faults))
    return {key_of(pod): pod for pod in pods}


def faults_of(pod):
    """What is wrong with one pod's description, in words."""
    for field in ("namespace", "name", "uid"):
        if not NAME.fullmatch(str(pod.get(field, ""))):
            yield f"{WANTED}: {field} {pod.get(field)!r} is not a name"
    try:
        ipaddress.IPv4Address(pod.get("address"))
    except ValueError as error:
        yield f"{WANTED}: {error}"
    for listen in pod.get("listens", []):
        if listen.get("protocol") not in ("TCP", "UDP") or not 0 < int(listen.get("port", 0)) < 65536:
            yield f"{WANTED}: {listen!r} is not a port"


def environment(pod):
    """What the unit is told of its pod; when this text changes, it is another pod."""
    listens = " ".join(f"{listen['port']}/{listen['protocol']}" for listen in pod["listens"])
    return (
        f"POD_NAME={pod['name']}\nPOD_NAMESPACE={pod['namespace']}\nPOD_UID={pod['uid']}\n"
        f"POD_ADDRESS={pod['address']}\nPOD_LISTENS={listens}\n"
    )


def present():
    """Keys of everything here that looks like a pod, whole or half made."""
    keys = {path.stem for path in RUNNING.glob("*.env")} | {path.name[4:] for path in NETNS.glob("pod-*")}
    return keys | set(unit_states())


def unit_states():
    """The state of every pod's unit by key: what systemd calls ActiveState, and restarts."""
    asked = "--property=Id,ActiveState,NRestarts,ActiveEnterTimestampMonotonic"
    shown = run("systemctl", "show", asked, "nodeport-pod@*.service")
    states = {}
    for block in shown.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if fields.get("Id"):
            states[fields["Id"].removeprefix("nodeport-pod@").removesuffix(".service")] = fields
    return states


def difference(pods):
    """What has to be removed, what made: a changed pod is in both."""
    states = unit_states()
    right = {
        key
        for key, pod in pods.items()
        if states.get(key, {}).get("ActiveState") == "active"
        and (NETNS / f"pod-{key}").exists()
        and (RUNNING / f"{key}.env").exists()
        and (RUNNING / f"{key}.env").read_text() == environment(pod)
    }
    return sorted(present() - right), sorted(set(pods) - right)


def sync(pods, remove, make):
    """Carry out a difference, and wait until every new pod listens."""
    RUNNING.mkdir(parents=True, exist_ok=True)
    if remove:
        run("systemctl", "stop", *map(unit_of, remove))
        subprocess.run(["systemctl", "reset-failed", *map(unit_of, remove)], capture_output=True, check=False)
    for key in remove:
        (RUNNING / f"{key}.env").unlink(missing_ok=True)
        # the kernel takes a namespace apart some time after its deletion; the link has to be gone at once
        if Path(f"/sys/class/net/pod{key}").exists():
            run("ip", "link", "delete", f"pod{key}")
        if (NETNS / f"pod-{key}").exists():
            run("ip", "netns", "delete", f"pod-{key}")
    if make:
        network = json.loads(NETWORK.read_text())
        for key in make:
            attach(key, pods[key], network)
            (RUNNING / f"{key}.env").write_text(environment(pods[key]))
        run("systemctl", "start", *map(unit_of, make))
        wait_ready([pods[key] for key in make])


def attach(key, pod, network):
    """The pod's network: a namespace with its address, and the bridge's address as its gateway."""
    prefix = ipaddress.ip_network(network["pod_range"]).prefixlen
    run("ip", "-batch", "-", stdin=(
        f"netns add pod-{key}\nlink add pod{key} type veth peer name eth0 netns pod-{key}\n"
        f"link set pod{key} master cni0 up\n"
    ))  # fmt: skip
    run("ip", "-n", f"pod-{key}", "-batch", "-", stdin=(
        f"link set lo up\naddr add {pod['address']}/{prefix} dev eth0\nlink set eth0 up\n"
        f"route add default via {network['gateway']}\n"
    ))  # fmt: skip
    run("ip", "netns", "exec", f"pod-{key}", "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")


def wait_ready(pods):
    """Wait until every TCP port of these pods takes connections; ends the program naming those that do not."""
    waiting = [(pod, listen["port"]) for pod in pods for listen in pod["listens"] if listen["protocol"] == "TCP"]
    deadline = time.monotonic() + READY_SECONDS
    while waiting and time.monotonic() < deadline:
        waiting = [(pod, port) for pod, port in waiting if not takes_connections(pod["address"], port)]
        time.sleep(0.02 if waiting else 0)
    if waiting:
        names = ", ".join(f"{pod['namespace']}/{pod['name']} on {port}" for pod, port in waiting)
        sys.exit(f"not listening after {READY_SECONDS:g} s: {names}; see journalctl -u 'nodeport-pod@*'")


def takes_connections(address, port):
    """Whether something accepts a connection there."""
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def listing(pods):
    """The wanted pods with the state of their units."""
    states = unit_states()
    for key, pod in sorted(pods.items()):
        state = states.get(key, {})
        yield {
            **{field: pod[field] for field in ("namespace", "name", "uid", "address")},
            "key": key,
            "state": state.get("ActiveState", "inactive"),
            "restarts": int(state.get("NRestarts") or 0),
            "since_boot": int(state.get("ActiveEnterTimestampMonotonic") or 0) / 1e6,
        }


def execute(pods, words):
    """Become a command in the namespace of the pod ``namespace/name``."""
    if len(words) < 3 or words[1] != "--":
        sys.exit("podctl exec NAMESPACE/NAME -- COMMAND")
    keys = [key for key, pod in pods.items() if words[0] == f"{pod['namespace']}/{pod['name']}"]
    if not keys:
        sys.exit(f"there is no pod {words[0]} on this node")
    os.execvp("ip", ["ip", "netns", "exec", f"pod-{keys[0]}", *words[2:]])


def run(*words, stdin=None):
    """Run a program that has to succeed and return what it printed; ends this program with its words otherwise."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def main(verb, words):
    """Carry out one verb."""
    pods = wanted()
    if verb == "list":
        print(json.dumps(list(listing(pods))))
    elif verb == "exec":
        execute(pods, words)
    elif verb in ("sync", "check"):
        remove, make = difference(pods)
        if verb == "sync":
            sync(pods, remove, make)
        named = [f"{pods[key]['namespace']}/{pods[key]['name']}" for key in make]
        print(json.dumps({"removed": remove, "made": named} if remove or make else {}))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:])
