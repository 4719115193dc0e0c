"""nodeportd: the forwarding state of one node, on nftables.

    nodeportd serve             bring the kernel to /etc/nodeport/state.json, again on every SIGHUP
    nodeportd check FILE        whether FILE is a state; reasons on stderr when it is not
    nodeportd render FILE       the nftables text of a state
    nodeportd drift             what of the table is not as it was left; exit 1 when there is something
    nodeportd settle GENERATION [--check]
                                have the daemon run that generation and the table be right; JSON of what had to be done
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import state

SETTLE_SECONDS = 20.0


def main(words):
    """Carry out one verb."""
    match words:
        case ["serve"]:
            import daemon
            from kernel import Kernel

            daemon.serve(Kernel())
        case ["check", file]:
            read(file)
        case ["render", file]:
            import ruleset

            print(ruleset.full(read(file)), end="")
        case ["drift"]:
            found = drift()
            print("\n".join(found))
            sys.exit(1 if found else 0)
        case ["settle", generation, *rest] if generation.isdigit() and rest in ([], ["--check"]):
            todo = unsettled(int(generation))
            if todo and not rest:
                settle(int(generation))
            print(json.dumps({"settled": todo} if todo else {}))
        case _:
            sys.exit(__doc__)


def read(file):
    """The state in a file; ends the program with every reason when it is none."""
    try:
        return state.parse(Path(file).read_text())
    except state.StateError as error:
        sys.exit("\n".join(f"{file}: {reason}" for reason in error.reasons))
    except OSError as error:
        sys.exit(f"{file}: {error.strerror}")


def drift():
    """What of the kernel's table is not as nodeportd left it."""
    import daemon
    from kernel import Kernel

    return daemon.drift(Kernel())


def status():
    """What the daemon last said of itself; empty when it never said anything."""
    import daemon

    return json.loads(daemon.STATUS.read_text()) if daemon.STATUS.exists() else {}


def active():
    """Whether the daemon runs."""
    return subprocess.run(["systemctl", "is-active", "--quiet", "nodeportd.service"], check=False).returncode == 0


def unsettled(generation):
    """Why the node does not run that generation as it should, in words; empty when it does."""
    if not active():
        return ["nodeportd does not run"]
    said = status()
    if said.get("generation") != generation:
        return [f"generation {said.get('generation')} runs instead of {generation}"]
    return [said["error"]] if said.get("error") else drift()


def settle(generation):
    """Start or reload the daemon and wait; ends the program with the daemon's own words when it does not get there."""
    verb = "reload" if active() else "start"
    subprocess.run(["systemctl", verb, "nodeportd.service"], check=False)
    deadline = time.monotonic() + SETTLE_SECONDS
    left = unsettled(generation)
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = unsettled(generation)
    if left:
        sys.exit(f"nodeportd did not settle within {SETTLE_SECONDS:g} s: " + "; ".join(left[:10]))


if __name__ == "__main__":
    main(sys.argv[1:])
