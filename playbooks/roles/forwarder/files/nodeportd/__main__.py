"""nodeportd: the forwarding state of one node, on nftables or socat.

    nodeportd serve [FILE]      bring the kernel to the state in FILE, again on every SIGHUP
    nodeportd check FILE        whether FILE is a state; reasons on stderr and exit code 1 when it is not
    nodeportd render FILE       the nftables text of a state
    nodeportd drift [FILE]      what of the forwarding is not as FILE says; exit 0 nothing, 1 something, 2 cannot tell,
                                3 the relay is too busy to tell
    nodeportd settle GENERATION [--check|--ready SECONDS]
                                have the daemon run that generation and all be right, and wait for the pods that come;
                                JSON of what was wrong, and of the pods that are not ready (with --ready: exit 1, and
                                the pods have to be ready for so long)
    nodeportd coming            JSON of the pods that are not ready yet and may be still, with the reason; only asks
    nodeportd relay             accept clients for the backend socat, as a unit of its own that nodeportd starts

FILE is /etc/nodeport/state.json unless given; the status is in $RUNTIME_DIRECTORY, else in /run/nodeport.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

# This folder is what is run, so Python looks for modules within it: the package itself is one folder up.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from nodeportd import state  # noqa: E402 - found by the line above

FILE = "/etc/nodeport/state.json"
STATUS = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/nodeport")) / "status.json"


def main(words: list[str]) -> int:
    """Carry out one verb and return the exit code."""
    match words:
        case ["serve", *rest] if len(rest) <= 1:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # not ready to be asked: the file is read anyway
            from nodeportd import daemon

            daemon.serve(Path(*(rest or [FILE])), STATUS)
        case ["coming"]:
            return coming()
        case ["relay"]:
            from nodeportd import relay

            relay.serve()
        case ["check", file]:
            return 0 if read(file) else 1
        case ["render", file]:
            return render(file)
        case ["drift", *rest] if len(rest) <= 1:
            return drift(Path(*(rest or [FILE])))
        case ["settle", generation, "--check"] if generation.isdecimal():
            return check(int(generation))
        case ["settle", generation] if generation.isdecimal():
            return settle(int(generation), None)
        case ["settle", generation, "--ready", seconds] if generation.isdecimal() and seconds.isdecimal():
            return settle(int(generation), int(seconds))
        case _:
            complain(__doc__ or "")
            return 2
    return 0


def read(file: str) -> state.State | None:
    """The state in a file; every reason on stderr when it is none."""
    try:
        return state.parse(Path(file).read_bytes())
    except state.StateError as error:
        complain("\n".join(f"{file}: {reason}" for reason in error.reasons))
    except OSError as error:
        complain(f"{file}: {error.strerror}")
    return None


def render(file: str) -> int:
    """Print the nftables text of a state."""
    from nodeportd import ruleset
    from nodeportd.endpoints import effective
    from nodeportd.families import in_ipv6

    wanted = read(file)
    if wanted is None:
        return 1
    found = effective(wanted)
    print(ruleset.full(found), end="")
    if found.six is not None:
        print(in_ipv6(ruleset.full(found.six)), end="")
    return 0


def drift(file: Path) -> int:
    """Print what is not as it should be."""
    from nodeportd.backend import BackendError, BusyError
    from nodeportd.settle import differences

    try:
        found = differences(file, STATUS)
    except BusyError as error:
        complain(str(error))
        return 3
    except (BackendError, state.StateError, OSError) as error:
        complain(f"nodeportd cannot compare the table with {file}: {error}")
        return 2
    print("".join(f"{line}\n" for line in found), end="")
    return 1 if found else 0


def check(generation: int) -> int:
    """Print what is wrong."""
    from nodeportd import settle as asked

    todo = asked.unsettled(generation, Path(FILE), STATUS)
    print(json.dumps({"settled": list(todo)} if todo else {}))
    return 0


def settle(generation: int, lasting: int | None) -> int:
    """Print what was wrong and is not any more, and which pods are not ready.

    One that came in vain, or was not ready for ``lasting`` seconds, is a failure unless that is ``None``.
    """
    from nodeportd import settle as asked

    todo = asked.unsettled(generation, Path(FILE), STATUS)
    if todo:
        try:
            asked.settle(generation, Path(FILE), STATUS)
        except asked.Unsettled as error:
            complain(str(error))
            return 1
    late = asked.await_pods(Path(FILE), STATUS)
    if lasting is not None:
        early = asked.await_lasting(Path(FILE), STATUS, lasting) if lasting and not late else {}
        told = [f"the pod {pod} does not get ready: {why}" for pod, why in late.items()]
        told += [f"the pod {pod} does not get ready for {lasting} s in one go: {why}" for pod, why in early.items()]
        if told:
            complain("\n".join(told))
            return 1
    said = {"settled": list(todo), "unready": [f"{pod}: {why}" for pod, why in asked.unready(STATUS).items()]}
    print(json.dumps({what: found for what, found in said.items() if found}))
    return 0


def coming() -> int:
    """Print which pods come."""
    from nodeportd import settle as asked

    try:
        found = asked.coming(Path(FILE), STATUS)
    except (state.StateError, OSError) as error:
        complain(f"nodeportd cannot tell which pods come: {error}")
        return 2
    print(json.dumps(found))
    return 0


def complain(text: str) -> None:
    """A message for a person."""
    print(text, file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.exit(1)
