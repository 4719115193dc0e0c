"""nodeportd itself: takes a state, brings the kernel to it, says what it did.

SIGHUP reads the state again. Rules outlive the program, as kube-proxy's do: stopping it cuts nobody off.
"""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

from nodeportd import backend, healthz, state
from nodeportd.backend import Backend, BackendError
from nodeportd.endpoints import Current
from nodeportd.notify import log, notify, write
from nodeportd.reading import Reading

STATUS_VERSION = 1


class Daemon:
    """The state in force, and the backend that carries it out."""

    def __init__(self, file: Path, status: Path) -> None:
        self._backend: Backend | None = None
        self._reading = Reading()
        self._current = Current()
        self._health = healthz.HealthChecks()
        self._file = file
        self._status = status
        self._running: state.State | None = None
        self._applied_at = ""

    def reload(self) -> None:
        """Bring the kernel to the state file; a state that is refused leaves the rules as they are."""
        note = ""
        try:
            if self._running is None and not self._file.exists():
                wanted, note = state.EMPTY, f"{self._file} is missing: nothing is forwarded"
            else:
                wanted = self._reading.parse(self._file.read_bytes())
            note = "; ".join([note, *self._bring(wanted)] if note else self._bring(wanted))
        except (state.StateError, OSError) as error:
            self._say(f"{self._file} is refused, the rules stay as they are: {error}")
        except BackendError as error:
            self._say(f"this node did not take over {self._file}: {error}")
        else:
            self._running = wanted
            self._applied_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self._say(note)

    def _bring(self, wanted: state.State) -> tuple[str, ...]:
        """Hand it to its backend; when that is not the one of before, remove the traces of all others.

        Returns what of it could not be had although it forwards.
        """
        before = self._backend
        same = before is not None and before.name == wanted.backend
        now = before if before is not None and same else backend.get(wanted.backend)
        now.apply(self._current.bring(wanted))
        self._backend = now
        if not same:
            others = [before] if before else [backend.get(name) for name in backend.BACKENDS if name != now.name]
            for other in others:
                other.remove()
        return self._health.bring(healthz.of_state(wanted))

    def _say(self, error: str) -> None:
        """Write the status, log the same, tell systemd."""
        running = self._running or state.EMPTY
        services = len(running.services)
        status = {
            "version": STATUS_VERSION,
            "backend": running.backend,
            "generation": running.generation,
            "services": services,
            "endpoints": sum(len(port.endpoints) for service in running.services for port in service.ports),
            "applied_at": self._applied_at,
            "error": error,
        }
        said = f"generation {running.generation}, {services} Services" + (f"; {error}" if error else "")
        log(said)
        notify(f"STATUS={said}")
        try:
            write(self._status, json.dumps(status))
        except OSError as failure:
            log(f"cannot write {self._status}: {failure}")


def serve(file: Path, status: Path) -> None:
    """Run until SIGTERM or SIGINT."""
    asked = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    daemon = Daemon(file, status)
    daemon.reload()
    notify("READY=1")
    while signal.sigwait(asked) == signal.SIGHUP:
        daemon.reload()
    notify("STOPPING=1")
