#!/usr/bin/python3 -SE
"""Bring this node's pods to what /etc/nodeport/pods.json says.

    podctl sync              start what is missing, replace what changed, remove the rest; JSON of what changed
    podctl change            the same, but a pod that differs in its program alone stays: an earlier version started it
    podctl check [FILE]      the same JSON of what sync would change (if FILE were the wanted pods); changes nothing
    podctl list              the wanted pods and how they run, as JSON
    podctl exec POD -- CMD   run a command in a pod's network namespace; POD is NAMESPACE/NAME

A pod is a network namespace ``pod-<key>`` with a veth ``pod<key>`` into cni0, and in it the unit
``nodeport-pod@<key>.service``, which a drop-in under /run tells who it is. The key is eight hex digits of
sha256("namespace/name"): safe in paths, unit and interface names, whatever the pod is called. Standard library only.
"""

import fcntl
import hashlib
import ipaddress
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from podlinks import NETNS, attach, detach, links, reaches_out, run

WANTED = Path("/etc/nodeport/pods.json")
NETWORK = Path("/etc/nodeport/network.json")
LOCK = Path("/run/nodeport/podctl.lock")
UNITS = Path("/run/systemd/system")
PROGRAM = (
    *(Path("/usr/local/lib/nodeport") / name for name in ("responder.py", "netexec_server.py", "netexec.py")),
    Path("/etc/systemd/system/nodeport-pod@.service"),
)
PROGRAM_TOLD = re.compile(r"\bPOD_PROGRAM=\S*")
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
RESTARTS = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}  # Kubernetes' words and systemd's
SHOWN = "Id,ActiveState,NRestarts,ActiveEnterTimestampMonotonic"


def key_of(pod):
    """The pod's key in paths and names."""
    return hashlib.sha256(name_of(pod).encode()).hexdigest()[:8]


def name_of(pod):
    """How people call the pod."""
    return f"{pod['namespace']}/{pod['name']}"


def told_name(key):
    """The name of a pod that is here, wanted or not; its key when nothing tells it."""
    told = identity_of(key).read_text() if identity_of(key).exists() else ""
    return found[1] if (found := re.search(r"^Description=Pod (.*)$", told, re.MULTILINE)) else key


def told_address(key):
    """The address of a pod that is here, wanted or not; empty when nothing tells it."""
    told = identity_of(key).read_text() if identity_of(key).exists() else ""
    return found[1] if (found := re.search(r"POD_ADDRESS=(\S+)", told)) else ""


def unit_of(key):
    """The unit that runs a pod."""
    return f"nodeport-pod@{key}.service"


def key_in(unit):
    """The key in the name of a pod's unit, or of the folder of its drop-ins."""
    return unit.partition("@")[2].partition(".")[0]


def identity_of(key):
    """The file that tells a pod's unit who it is."""
    return UNITS / f"{unit_of(key)}.d" / "pod.conf"


def wanted(path=WANTED):
    """The wanted pods by key; ends the program with all reasons when they cannot be right."""
    try:
        pods = json.loads(path.read_text()) if path.exists() else []
        faults = [f"{path}: {fault}" for pod in pods for fault in faults_of(pod)]
        found = {} if faults else {key_of(pod): pod for pod in pods}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        sys.exit(f"{path}: not a list of pods: {error!r}")
    if not faults and len(found) != len(pods):
        faults = [f"{path}: two pods of the same name, or whose names have the same key"]
    if not faults and len({pod["address"] for pod in pods}) != len(pods):
        faults = [f"{path}: two pods with the same address"]
    if faults:
        sys.exit("\n".join(faults))
    return found


def faults_of(pod):
    """What is wrong with one pod's description, in words."""
    for field in ("namespace", "name", "uid"):
        if not NAME.fullmatch(str(pod.get(field, ""))):
            yield f"{field} {pod.get(field)!r} is not a name"
    try:
        ipaddress.IPv4Address(pod.get("address"))
        ipaddress.IPv6Address(str(pod.get("address6", "::1")).replace("%", "a zone is no part of it"))
    except ValueError as error:
        yield str(error)
    for listen in pod["listens"]:
        port = listen.get("port")
        if listen.get("protocol") not in ("TCP", "UDP") or not isinstance(port, int) or not 0 < port < 65536:
            yield f"{listen!r} is not a port"
    grace = pod.get("termination_grace_period_seconds", 30)
    if not isinstance(grace, int) or grace < 0:
        yield f"termination_grace_period_seconds {grace!r} is not a number of seconds"
    if not isinstance(pod.get("memory_limit", 1), int) or pod.get("memory_limit", 1) < 1:
        yield f"memory_limit {pod['memory_limit']!r} is not a number of bytes"
    if pod.get("restart_policy", "Always") not in RESTARTS:
        yield f"restart_policy {pod['restart_policy']!r} is none of {', '.join(RESTARTS)}"


@lru_cache(maxsize=1)
def program():
    """A digest of what runs in a pod: a pod that runs an older program is not the wanted one."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in PROGRAM if path.exists())).hexdigest()[:16]


def identity(pod):
    """What the unit is told of its pod; when this text changes, it is another pod. Holds checked values only."""
    listens = " ".join(f"{listen['port']}/{listen['protocol']}" for listen in pod["listens"])
    grace, restart = pod.get("termination_grace_period_seconds", 30), RESTARTS[pod.get("restart_policy", "Always")]
    # As the kubelet has it: out of memory, the kernel ends all that is in the pod.
    limit = f"MemoryMax={pod['memory_limit']}\nOOMPolicy=kill\n" if "memory_limit" in pod else ""
    six = f"Environment=POD_ADDRESS6={pod['address6']}\n" if "address6" in pod else ""
    return (
        f"[Unit]\nDescription=Pod {name_of(pod)}\n\n[Service]\n"
        f"SyslogIdentifier={pod['name']}\nTimeoutStopSec={max(1, grace)}\nRestart={restart}\n{limit}"
        f"Environment=POD_NAMESPACE={pod['namespace']} POD_NAME={pod['name']} POD_UID={pod['uid']}\n"
        f'Environment=POD_ADDRESS={pod["address"]} "POD_LISTENS={listens}" POD_PROGRAM={program()}\n{six}'
    )


def unit_states():
    """The properties of every pod's unit that systemd knows, by key."""
    shown = run("systemctl", "show", f"--property={SHOWN}", unit_of("*"))
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    return {key_in(block["Id"]): block for block in blocks if block.get("Id")}


def is_told(told, pod, strict):
    """Whether a unit is told that it is this pod; unless ``strict``, it may run another program."""
    said, wants = told.read_text(), identity(pod)
    return said == wants or (not strict and PROGRAM_TOLD.sub("", said) == PROGRAM_TOLD.sub("", wants))


def difference(pods, network, strict):
    """Keys to remove, and keys to make: a changed pod is in both."""
    states, ends = unit_states(), links()
    told = {key_in(path.parent.name): path for path in UNITS.glob("nodeport-pod@*.d/pod.conf")}
    namespaces = {path.name[4:] for path in NETNS.glob("pod-*")}
    likely = [
        key
        for key, pod in pods.items()
        if states.get(key, {}).get("ActiveState") == "active" and key in namespaces and ends.get(key)
        if key in told and is_told(told[key], pod, strict)
    ]
    with ThreadPoolExecutor(8) as pool:
        fine = pool.map(lambda key: reaches_out(key, pods[key], network), likely)
        right = {key for key, well in zip(likely, fine) if well}  # noqa: B905 - Python 3.9 has no strict
    present = {key for key, state in states.items() if state["ActiveState"] != "inactive"}
    return sorted((present | set(told) | namespaces | set(ends)) - right), sorted(set(pods) - right)


def sync(pods, remove, make, network):
    """Carry out a difference; every new pod listens when this returns.

    Who only leaves has its grace period while the new ones start; who has the name or the address of a new one has it
    before.
    """
    taken = {pods[key]["address"] for key in make}
    first = [key for key in remove if key in make or told_address(key) in taken | {""}]
    if first:
        end(first, stopping(first))
    last = [key for key in remove if key not in first]
    stopped = stopping(last)
    try:
        if make:
            attach({key: pods[key] for key in make}, network)
            for key in make:
                identity_of(key).parent.mkdir(parents=True, exist_ok=True)
                identity_of(key).write_text(identity(pods[key]))
            run("systemctl", "daemon-reload")
            start({key: pods[key] for key in make})
    finally:
        end(last, stopped)


def stopping(keys):
    """Begin to stop the units of these pods; each has its own TimeoutStopSec."""
    return subprocess.Popen(["systemctl", "stop", *map(unit_of, keys)], stderr=subprocess.PIPE) if keys else None


def end(keys, stopped):
    """Wait until the units are stopped, and take away what is left of the pods."""
    if not keys:
        return
    _, said = stopped.communicate()
    if stopped.returncode != 0:
        sys.exit(f"systemctl stop: {said.decode(errors='replace').strip() or stopped.returncode}")
    subprocess.run(["systemctl", "reset-failed", *map(unit_of, keys)], capture_output=True, check=False)
    detach(keys)
    for key in keys:
        identity_of(key).unlink(missing_ok=True)
        with suppress(OSError):  # not there, or somebody else's drop-in is in it
            identity_of(key).parent.rmdir()


def start(pods):
    """Start the units of the pods, all at once; each is started when its responder has opened all its ports."""
    units = [unit_of(key) for key in pods]
    done = subprocess.run(["systemctl", "start", *units], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return
    states = unit_states()
    failed = [key for key in pods if states.get(key, {}).get("ActiveState") != "active"]
    sys.exit("\n".join(
        f"the pod {name_of(pods[key])} does not run: journalctl --unit={unit_of(key)} says why" for key in failed
    ) or done.stderr)  # fmt: skip


def listing(pods):
    """The wanted pods with the state of their units."""
    states = unit_states()
    for key, pod in sorted(pods.items(), key=lambda item: name_of(item[1])):
        state = states.get(key, {})
        told = identity_of(key).read_text() if identity_of(key).exists() else ""
        current = told == identity(pod)
        yield {
            **{field: pod[field] for field in ("namespace", "name", "uid", "address")},
            "key": key,
            "state": state.get("ActiveState", "inactive") if current else "outdated" if told else "inactive",
            "restarts": int(state.get("NRestarts") or 0),
            "since_boot": int(state.get("ActiveEnterTimestampMonotonic") or 0) / 1e6,
        }


def execute(pods, words):
    """Become a command in the namespace of a pod."""
    if len(words) < 3 or words[1] != "--":
        sys.exit("podctl exec NAMESPACE/NAME -- COMMAND")
    keys = [key for key, pod in pods.items() if words[0] == name_of(pod)]
    if not keys:
        sys.exit(f"there is no pod {words[0]} on this node")
    os.execvp("ip", ["ip", "netns", "exec", f"pod-{keys[0]}", *words[2:]])


def reconcile(path, change, strict=True):
    """Find the difference, carry it out if asked to, and say what it is; one of these at a time."""
    pods = wanted(path)
    network = json.loads(NETWORK.read_text()) if NETWORK.exists() else {}
    if pods and not network:
        sys.exit(f"{NETWORK} is missing: pods need the pod network (role pod_network)")
    if "ipv6" not in network and any("address6" in pod for pod in pods.values()):
        sys.exit(f"{NETWORK} has no IPv6, which pods need (role pod_network)")
    remove, make = difference(pods, network, strict)
    gone = [told_name(key) for key in remove if key not in make]
    if change and (remove or make):
        sync(pods, remove, make, network)
    said = {
        "started": [name_of(pods[key]) for key in make if key not in remove],
        "replaced": [name_of(pods[key]) for key in make if key in remove],
        "removed": gone,
    }
    return {verb: names for verb, names in said.items() if names}


def main(verb="", *words):
    """Carry out one verb."""
    if verb == "list":
        print(json.dumps(list(listing(wanted()))))
    elif verb == "exec":
        execute(wanted(), words)
    elif verb == "check" and len(words) <= 1:
        print(json.dumps(reconcile(Path(words[0]) if words else WANTED, change=False)))
    elif verb in ("sync", "change") and not words:
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            print(json.dumps(reconcile(WANTED, change=True, strict=verb == "sync")))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
