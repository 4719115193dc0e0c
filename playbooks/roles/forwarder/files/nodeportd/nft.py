"""The table ``ip nodeport``, changed by what differs; ``dual`` has the backend, with that of IPv6 beside it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from nodeportd import conntrack, flows, kernel, places, ruleset
from nodeportd.backend import PROMISED
from nodeportd.endpoints import NOTHING, Effective, changed


class Nftables:
    """What is in force, as far as this process knows; nothing is known at first, so the table is made anew."""

    name = "nftables"
    features = PROMISED["nftables"]

    def __init__(self, door: kernel.Kernel) -> None:
        self._kernel = door
        self._running: Effective | None = None
        self._used = places.uses(NOTHING)

    def apply(self, wanted: Effective) -> None:
        """See :meth:`nodeportd.backend.Backend.apply`."""
        known, self._running = self._running, None
        if known is None or not self._change(known, wanted):
            self._replace(wanted)
        self._running = wanted

    def is_at(self, wanted: Effective) -> bool:
        """Whether this is in force already, as far as this process knows; the next change is counted from it then."""
        known = self._running
        if known is None or changed(known, wanted) != ([], []):
            return False
        if (known.addresses, known.cluster_ranges) != (wanted.addresses, wanted.cluster_ranges):
            return False
        self._running = wanted
        return True

    def _change(self, known: Effective, wanted: Effective) -> bool:
        """Change what differs; whether anything did, and the kernel took it."""
        gone, come = changed(known, wanted)
        try:
            steps = ruleset.steps(known, wanted, self._used, (gone, come))
            for step in steps:
                self._kernel.carry_out(step)
        except kernel.KernelError as error:
            print(f"somebody altered the table, it is made anew: {error}", file=sys.stderr, flush=True)
            return False
        meant = flows.altered(known, wanted, gone, come)
        if any(forward.service.affinity_seconds for forward in gone):
            self._forget_clients(lambda client: client.target in meant.get(client.place, (client.target,)))
        if any(forward.protocol == "udp" for forward in (*gone, *come)):
            conntrack_forget(meant)
        return bool(steps)

    def _forget_clients(self, stays: Callable[[flows.Client], bool]) -> None:
        """Forget the clients who may not be where they were."""
        for client in flows.clients(self._kernel.elements("clients")):
            if not stays(client):
                with contextlib.suppress(kernel.KernelError):  # its time may be over this very moment
                    self._kernel.apply(f"delete element {ruleset.TABLE} clients {{ {client.key} }}\n")

    def _replace(self, wanted: Effective) -> None:
        """Everything anew, whatever is there; clients stay where they were if they still may."""
        sticky = flows.allowed(wanted, (f for f in wanted.forwards if f.service.affinity_seconds))

        def stays(client: flows.Client) -> bool:
            return client.target in sticky.get(client.place, ())

        step = ruleset.replacement(wanted, self._kernel.outline())
        if step is not None and self._mended(step):
            self._forget_clients(stays)
        else:
            kept = [each.element for each in flows.clients(self._kernel.elements("clients")) if stays(each)]
            add = f"add element {ruleset.TABLE} clients {{ {', '.join(kept)} }}\n" if kept else ""
            self._kernel.apply(ruleset.full(wanted) + add)
        self._used = places.uses(wanted)
        conntrack_forget(flows.allowed(wanted, wanted.forwards))

    def _mended(self, step: ruleset.Step) -> bool:
        try:
            self._kernel.carry_out(step)
        except kernel.KernelError as error:
            print(f"the table cannot be mended, it is made anew: {error}", file=sys.stderr, flush=True)
            return False
        return True

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
