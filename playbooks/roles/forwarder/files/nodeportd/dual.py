"""The nftables backend of both families: ``table ip nodeport`` and, where there is IPv6, ``table ip6 nodeport``.

Both are the same text (``ruleset``), each in the words of its family.
"""

from __future__ import annotations

from nodeportd import kernel, remember6, ruleset
from nodeportd.backend import PROMISED
from nodeportd.endpoints import Effective
from nodeportd.families import in_ipv4, in_ipv6
from nodeportd.nft import Nftables


class Kernel6(kernel.Kernel):
    """The door to the table of IPv6; it is spoken to in the words of IPv4."""

    table_name = in_ipv6(ruleset.TABLE)

    def apply(self, text: str) -> None:
        """Carry out one transaction, as :meth:`kernel.Kernel.apply`; rules that remember clients, one beside it."""
        for part, durations in remember6.parts(in_ipv6(text)):
            if part.strip():
                super().apply(part)
            if durations is not None:
                self.commit(remember6.rules(self.table_name, durations))

    def heard(self, text: str) -> str:
        """In the words of IPv4, as :meth:`kernel.Kernel.heard`."""
        return in_ipv4(text)


class Nftables6(Nftables):
    """The table of IPv6."""

    def drift(self, wanted: Effective) -> tuple[str, ...]:
        """See :meth:`nodeportd.backend.Backend.drift`."""
        return kernel.drift(ruleset.full(wanted), Kernel6)


class DualNftables:
    """Both tables. That of IPv6 is there as long as the node has such an address."""

    name = "nftables"
    features = PROMISED["nftables"]

    def __init__(self, four: Nftables, six: Nftables6) -> None:
        self._four, self._six = four, six
        self._had_six = True  # an earlier process may have left its table

    def apply(self, wanted: Effective) -> None:
        """See :meth:`nodeportd.backend.Backend.apply`."""
        tables = [(self._four, wanted)] + ([(self._six, wanted.six)] if wanted.six is not None else [])
        differing = [(table, shall) for table, shall in tables if not table.is_at(shall)]
        for table, shall in differing or tables:
            table.apply(shall)
        if wanted.six is None and self._had_six and _left():
            self._six.remove()
        self._had_six = wanted.six is not None

    def drift(self, wanted: Effective) -> tuple[str, ...]:
        """See :meth:`nodeportd.backend.Backend.drift`."""
        if wanted.six is not None:
            return self._four.drift(wanted) + self._six.drift(wanted.six)
        return self._four.drift(wanted) + ((f"+ table {Kernel6.table_name}",) if _left() else ())

    def remove(self) -> None:
        """See :meth:`nodeportd.backend.Backend.remove`."""
        self._four.remove()
        if _left():
            self._six.remove()
        self._had_six = False


def _left() -> bool:
    """Whether there is a table of IPv6; on a kernel without IPv6, which has no such tables, there is none."""
    try:
        return Kernel6().table() is not None
    except kernel.KernelError:
        return False


def make() -> DualNftables:
    """The backend in the network namespace of this process."""
    return DualNftables(Nftables(kernel.Kernel()), Nftables6(Kernel6()))
