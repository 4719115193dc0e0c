"""The one door to the kernel: libnftables in this process, no ``nft`` to start.

Listing is normalised (sorted, without counters), so that two listings of an unaltered table are equal whatever the
order in which the kernel walks its hash tables, and whichever version of nftables prints them.
"""

import re

import nftables

TABLE = "ip nodeport"


class KernelError(Exception):
    """nftables refused; the text says why."""


class Kernel:
    """Transactions on, and listings of, our own table."""

    def __init__(self):
        self._nft = nftables.Nftables()
        self._nft.set_stateless_output(True)

    def apply(self, text):
        """Carry out one transaction, whole or not at all.

        Raises :class:`KernelError`.
        """
        code, _, error = self._nft.cmd(text)
        if code != 0:
            raise KernelError(" ".join(error.split())[:500])

    def check(self, text):
        """Have nftables check a text and change nothing.

        Raises :class:`KernelError`.
        """
        self._nft.set_dry_run(True)
        try:
            self.apply(text)
        finally:
            self._nft.set_dry_run(False)

    def listing(self):
        """The statements and elements of our table, sorted; empty when there is no table."""
        code, shown, _ = self._nft.cmd(f"list table {TABLE}")
        if code != 0:
            return ()
        parts = re.split(r"[\n,]", shown.replace("elements = {", "\n").replace("}", "\n"))
        return tuple(sorted(part.strip() for part in parts if part.strip(" {\t")))
