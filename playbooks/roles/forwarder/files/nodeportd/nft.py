"""The nftables backend: the table ``ip nodeport``, changed by what differs."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter

from nodeportd import conntrack, flows, kernel, ruleset
from nodeportd.backend import PROMISED
from nodeportd.endpoints import Effective, changed


class Nftables:
    """What is in force, as far as this process knows; nothing is known at first, so the table is made anew."""

    name = "nftables"
    features = PROMISED["nftables"]

    def __init__(self, door: kernel.Kernel) -> None:
        self._kernel = door
        self._running: Effective | None = None
        self._used: Counter[str] = Counter()

    def apply(self, wanted: Effective) -> None:
        """See :meth:`nodeportd.backend.Backend.apply`."""
        known, self._running = self._running, None
        if known is None or not self._change(known, wanted):
            self._replace(wanted)
        self._running = wanted

    def _change(self, known: Effective, wanted: Effective) -> bool:
        """Change what differs; whether anything did, and the kernel took it."""
        gone, come = changed(known, wanted)
        try:
            steps = ruleset.steps(known, wanted, self._used, (gone, come))
            for step in steps:
                self._kernel.apply(step)
        except kernel.KernelError as error:
            print(f"somebody altered the table, it is made anew: {error}", file=sys.stderr, flush=True)
            return False
        places = flows.altered(known, wanted, gone, come)
        if any(forward.service.affinity_seconds for forward in gone):
            self._forget_clients(places)
        if any(forward.protocol == "udp" for forward in (*gone, *come)):
            conntrack_forget(places)
        return bool(steps)

    def _forget_clients(self, places: flows.Allowed) -> None:
        for client in flows.clients(self._kernel.elements("clients")):
            if client.place in places and client.target not in places[client.place]:
                with contextlib.suppress(kernel.KernelError):  # its time may be over this very moment
                    self._kernel.apply(f"delete element {ruleset.TABLE} clients {{ {client.key} }}\n")

    def _replace(self, wanted: Effective) -> None:
        """The whole table anew; clients stay where they were if they still may."""
        places = flows.allowed(wanted, wanted.forwards)
        sticky = set(flows.allowed(wanted, (f for f in wanted.forwards if f.service.affinity_seconds)))
        held = flows.clients(self._kernel.elements("clients")) if sticky else ()
        kept = [each.element for each in held if each.place in sticky and each.target in places[each.place]]
        text = ruleset.full(wanted)
        if kept:
            text += f"add element {ruleset.TABLE} clients {{ {', '.join(kept)} }}\n"
        self._kernel.apply(text)
        self._used = ruleset.uses(wanted)
        conntrack_forget(places)

    def drift(self, wanted: Effective) -> tuple[str, ...]:
        """See :meth:`nodeportd.backend.Backend.drift`."""
        return kernel.drift(ruleset.full(wanted))

    def remove(self) -> None:
        """See :meth:`nodeportd.backend.Backend.remove`."""
        self._running = None
        self._kernel.apply(ruleset.nothing())


def conntrack_forget(places: flows.Allowed) -> None:
    """Forget UDP flows to endpoints that are no more; where that fails they end by themselves, as it is said."""
    try:
        conntrack.forget(places)
    except OSError as error:
        print(f"UDP flows to former endpoints go on until they are silent: {error}", file=sys.stderr, flush=True)


def make() -> Nftables:
    """The backend in the network namespace of this process."""
    return Nftables(kernel.Kernel())
