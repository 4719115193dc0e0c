"""The nftables backend: the table ``ip nodeport``, changed by what differs."""

from __future__ import annotations

import sys

from nodeportd import kernel, ruleset
from nodeportd.endpoints import Effective

FEATURES = frozenset({"udp"})


class Nftables:
    """What is in force, as far as this process knows; nothing is known at first, so the table is made anew."""

    name = "nftables"
    features = FEATURES

    def __init__(self, door: kernel.Kernel) -> None:
        self._kernel = door
        self._running: Effective | None = None

    def apply(self, wanted: Effective) -> None:
        """See :meth:`nodeportd.backend.Backend.apply`."""
        known, self._running = self._running, None
        if known is not None and known != wanted:
            try:
                for step in ruleset.steps(known, wanted):
                    self._kernel.apply(step)
            except kernel.KernelError as error:
                print(f"somebody altered the table, it is made anew: {error}", file=sys.stderr, flush=True)
                self._kernel.apply(ruleset.full(wanted))
        else:
            self._kernel.apply(ruleset.full(wanted))
        self._running = wanted

    def drift(self, wanted: Effective) -> tuple[str, ...]:
        """See :meth:`nodeportd.backend.Backend.drift`."""
        return kernel.drift(ruleset.full(wanted))

    def remove(self) -> None:
        """See :meth:`nodeportd.backend.Backend.remove`."""
        self._running = None
        self._kernel.apply(ruleset.nothing())


def make() -> Nftables:
    """The backend in the network namespace of this process."""
    return Nftables(kernel.Kernel())
