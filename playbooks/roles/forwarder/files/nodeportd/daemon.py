"""nodeportd itself: takes a state, asks the pods, brings the kernel to what both say, tells what it did.

SIGHUP reads the state again. Rules outlive the program, as kube-proxy's do: stopping it cuts nobody off.
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from nodeportd import backend, healthz, state, status
from nodeportd.backend import Backend, BackendError
from nodeportd.endpoints import NOTHING, Current, Effective, same
from nodeportd.notify import log, notify, write
from nodeportd.prober import Prober, now
from nodeportd.reading import Reading

FIRST_ANSWERS = 0.3
"""Seconds that a new state waits for first answers of the pods that came with it: they are in its rules at once."""
TRY_AGAIN = 1.0
"""Seconds until a change that the node did not take is tried again; doubled each time, up to ``SELDOM``."""
SELDOM = 60.0
SAY_AGAIN = 5.0
"""Seconds until a status that could not be written is written again: who waits for a generation reads it."""


class Daemon:
    """The state in force, the pods that are ready, and the backend that carries both out."""

    def __init__(self, file: Path, told: Path, selector: selectors.BaseSelector) -> None:
        self._backend: Backend | None = None
        self._reading = Reading()
        self._current = Current()
        self._health = healthz.HealthChecks()
        self._file = file
        self._told = told
        self._wanted: state.State | None = None
        self._running: state.State | None = None
        self._endpoints = 0
        self._in_force = NOTHING
        self._unready: frozenset[str] = frozenset()
        self._changes = 0
        self._applied_at = ""
        self._refusal, self._failure = "", ""
        self._notes: tuple[str, ...] = ()
        self._again, self._again_at, self._say_at = 0.0, float("inf"), float("inf")
        self._memory = status.Memory(told)
        self.prober = Prober(selector)

    def reload(self) -> None:
        """Bring the kernel to the state file; a state that is refused leaves the rules as they are."""
        missing = ""
        try:
            if self._running is None and not self._file.exists():
                wanted, missing = state.EMPTY, f"{self._file} is missing: nothing is forwarded"
            else:
                wanted = self._reading.read(self._file)
        except (state.StateError, OSError) as error:
            self._refusal = f"{self._file} is refused, the rules stay as they are: {error}"
            self._say()
            return
        self._refusal = missing
        before = {} if self._wanted else self._memory.of(wanted.checks, now())
        self._wanted = wanted
        self.prober.follow(wanted.checks, before)
        deadline = now() + FIRST_ANSWERS
        while self.prober.unasked(deadline) and now() < deadline:
            self.prober.turn(min(self.prober.patience(), max(0.0, deadline - now())))
        self._bring(wanted, self._current.bring(wanted, self.prober.unready))

    def follow(self) -> None:
        """Bring the kernel to what the pods are now; try again what failed when it is time."""
        if now() >= self._say_at:
            self._say()
        wanted = self._wanted
        if wanted is None or (self.prober.changes == self._changes and now() < self._again_at):
            return
        unready = self.prober.unready
        self._tell_changes(unready)
        effective = self._current.bring(wanted, unready)
        if now() >= self._again_at or (not self._again and not same(self._in_force, effective)):
            self._bring(wanted, effective)
        else:
            self._unready, self._changes, self._in_force = unready, self.prober.changes, effective
            self._tell_load_balancers(wanted)
            self._say()

    def patience(self) -> float:
        """Seconds until there is something to do, if nothing happens meanwhile."""
        return max(0.0, min(self.prober.patience(), min(self._again_at, self._say_at) - now()))

    def _bring(self, wanted: state.State, effective: Effective) -> None:
        self._unready, self._changes = self.prober.unready, self.prober.changes
        try:
            self._carry_out(wanted, effective)
        except BackendError as error:
            self._failure = f"this node did not take over {self._file}: {error}"
            self._again = min(SELDOM, self._again * 2 or TRY_AGAIN)
            self._again_at = now() + self._again
        else:
            self._failure, self._again, self._again_at = "", 0.0, float("inf")
            if self._running is not wanted:
                gone, come = state.difference(self._running.services if self._running else (), wanted)
                self._endpoints += status.endpoints_of(come) - status.endpoints_of(gone)
                self._running = wanted
            self._in_force = effective
            self._applied_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self._tell_load_balancers(wanted)
        self._say()

    def _carry_out(self, wanted: state.State, effective: Effective) -> None:
        """Hand it to its backend; when that is not the one of before, remove the traces of all others."""
        before = self._backend
        stays = before is not None and before.name == wanted.backend
        it = before if before is not None and stays else backend.get(wanted.backend)
        it.apply(effective)
        self._backend = it
        if not stays:
            others = [before] if before else [backend.get(name) for name in backend.BACKENDS if name != it.name]
            for other in others:
                other.remove()

    def _tell_load_balancers(self, wanted: state.State) -> None:
        self._notes = self._health.bring(healthz.of_state(wanted, self._unready))

    def _tell_changes(self, unready: frozenset[str]) -> None:
        for pod in sorted(unready - self._unready):
            log(f"{pod} is not ready: {self.prober.records[pod].why}")
        for pod in sorted(self._unready - unready):
            log(f"{pod} is {'ready' if pod in self.prober.records else 'not asked any more'}")

    def _say(self) -> None:
        """Write the status, log the same, tell systemd."""
        running = self._running or state.EMPTY
        error = "; ".join(filter(None, [self._refusal, self._failure, *self._notes]))
        out = f", {len(self._unready)} pods not ready" if self._unready else ""
        said = f"generation {running.generation}, {len(running.services)} Services{out}"
        said += f"; {error}" if error else ""
        log(said)
        notify(f"STATUS={said}")
        self._say_at = float("inf")
        try:
            write(
                self._told,
                json.dumps(status.of(running, self._endpoints, self.prober.records, self._applied_at, error)),
            )
        except OSError as failure:
            log(f"cannot write {self._told}: {failure}")
            self._say_at = now() + SAY_AGAIN


def serve(file: Path, told: Path) -> None:
    """Run until SIGTERM or SIGINT."""
    with selectors.DefaultSelector() as selector, signals(selector) as heard:
        daemon = Daemon(file, told, selector)
        daemon.reload()
        notify("READY=1")
        while True:
            asked = heard.recv(4096) if daemon.prober.turn(daemon.patience()) else b""
            if signal.SIGTERM in asked or signal.SIGINT in asked:
                break
            began = now()
            if signal.SIGHUP in asked:
                daemon.reload()
            daemon.follow()
            daemon.prober.forgive(now() - began)
    notify("STOPPING=1")


@contextmanager
def signals(selector: selectors.BaseSelector) -> Iterator[socket.socket]:
    """Within: SIGHUP, SIGTERM and SIGINT are bytes to read from a socket, and the selector wakes up for them."""
    heard, told = socket.socketpair()
    with heard, told:
        told.setblocking(False)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        for each in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: None)
        selector.register(heard, selectors.EVENT_READ, heard)
        try:
            yield heard
        finally:
            signal.set_wakeup_fd(-1)
