"""nodeportd itself: takes a state, brings the kernel to it, says what it did.

SIGHUP reads the state again. Rules outlive the program, as kube-proxy's do: stopping it cuts nobody off.
"""

import json
import os
import signal
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path

import ruleset
import state
from kernel import KernelError

STATE = Path("/etc/nodeport/state.json")
STATUS = Path("/run/nodeport/status.json")
SNAPSHOT = Path("/run/nodeport/table.json")
BACKEND = "nftables"


class Daemon:
    """The state in force, and the table as it was right after it was put in force."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.applied = None

    def reload(self):
        """Bring the kernel to the state file; a state that is refused leaves the rules as they are."""
        try:
            text = STATE.read_text() if STATE.exists() else None
            wanted = state.parse(text) if text is not None else state.EMPTY
            self._apply(wanted)
        except (state.StateError, KernelError, OSError) as error:
            print(f"state refused, the rules stay as they are: {error}", file=sys.stderr, flush=True)
            self._say(self.applied or state.EMPTY, str(error))
            return
        self.applied = wanted
        write(SNAPSHOT, json.dumps(self.kernel.listing()))
        missing = "" if text is not None else f"{STATE} is missing; nothing is forwarded"
        self._say(wanted, missing)
        print(f"generation {wanted.generation}: {len(wanted.ports)} nodePorts", flush=True)

    def _apply(self, wanted):
        """One transaction: only what differs, or the whole table when it is not as we left it."""
        if self.applied is None or drift(self.kernel):
            self.kernel.apply(ruleset.full(wanted))
            return
        change = ruleset.transaction(self.applied, wanted)
        if change:
            try:
                self.kernel.apply(change)
            except KernelError:  # somebody altered the table this very moment: make it ours again
                self.kernel.apply(ruleset.full(wanted))

    def _say(self, running, error):
        write(STATUS, json.dumps({
            "version": state.VERSION,
            "backend": BACKEND,
            "generation": running.generation,
            "services": len({port.service for port in running.ports}),
            "endpoints": sum(len(port.endpoints) for port in running.ports),
            "applied_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "error": error,
        }))  # fmt: skip


def drift(kernel):
    """What of our table is not as nodeportd left it: ``- missing`` and ``+ foreign`` lines; empty when it is."""
    if not SNAPSHOT.exists():
        return ["the table was never made"]
    left, now = set(json.loads(SNAPSHOT.read_text())), set(kernel.listing())
    if not now:
        return [f"table {ruleset.TABLE} is gone"]
    return [f"- {line}" for line in sorted(left - now)] + [f"+ {line}" for line in sorted(now - left)]


def serve(kernel):
    """Run until SIGTERM or SIGINT."""
    asked = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    daemon = Daemon(kernel)
    daemon.reload()
    notify("READY=1")
    while signal.sigwait(asked) == signal.SIGHUP:
        daemon.reload()


def notify(message):
    """Tell systemd, sd_notify(3); nothing happens when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.send(message.encode())


def write(path, text):
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text + "\n")
    partial.rename(path)
