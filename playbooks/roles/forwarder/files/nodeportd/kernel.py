"""The one door to the kernel: libnftables in this process, no ``nft`` to start."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Iterable, Iterator

import nftables

from nodeportd import elements, listing
from nodeportd.backend import BackendError
from nodeportd.ruleset import TABLE, Step

_CLONE_NEWNET = 0x40000000
_NO_TABLE = "No such file or directory"


class KernelError(BackendError):
    """The kernel, or nftables before it, refused; the text says why."""


class Kernel:
    """Transactions on, and listings of, our own table in the network namespace of this process."""

    table_name = TABLE

    def __init__(self) -> None:
        self._nft = nftables.Nftables()
        self._nft.set_stateless_output(True)
        self._writer = elements.Writer()

    def apply(self, text: str) -> None:
        """Carry out one transaction, whole or not at all.

        Raises :class:`KernelError`.
        """
        code, _, error = self._nft.cmd(text)
        if code != 0:
            raise KernelError(_reason(error))

    def carry_out(self, step: Step) -> None:
        """Carry out one step: its text and its elements each whole or not at all.

        Raises :class:`KernelError`.
        """
        if step.first:
            self.apply("\n".join(step.first))
        if step.changes:
            with _said():
                self._writer.write(self.table_name, step.changes)
        if step.last:
            self.apply("\n".join(step.last))

    def commit(self, messages: Iterable[elements.Message]) -> None:
        """Carry out one transaction of what libnftables cannot write.

        Raises :class:`KernelError`.
        """
        with _said():
            self._writer.commit(messages)

    def outline(self) -> listing.Listing:
        """The sets, maps and chains of our table without elements and rules; nothing when there is none.

        Raises :class:`KernelError`.
        """
        family = self.table_name.partition(" ")[0]
        ours = re.compile(rf"^table {self.table_name} \{{\n(.*?)^\}}", re.DOTALL | re.MULTILINE)
        self._nft.set_terse_output(True)
        try:
            found = [self._nft.cmd(f"list {kinds} {family}") for kinds in ("sets", "maps", "chains")]
        finally:
            self._nft.set_terse_output(False)
        for code, _, error in found:
            if code != 0:
                raise KernelError(_reason(error))
        return listing.parse(self.heard("".join(body for _, shown, _ in found for body in ours.findall(shown))))

    def heard(self, text: str) -> str:
        """What nftables says of our table, in the words in which it is spoken to."""
        return text

    def elements(self, name: str) -> str:
        """A map or set of our table as nftables lists it, with the time that elements have left; empty when none.

        Raises :class:`KernelError`.
        """
        self._nft.set_stateless_output(False)
        try:
            code, shown, error = self._nft.cmd(f"list map {self.table_name} {name}")
        finally:
            self._nft.set_stateless_output(True)
        if code != 0 and _NO_TABLE not in error:
            raise KernelError(_reason(error))
        return str(shown) if code == 0 else ""

    def table(self) -> str | None:
        """Our table as nftables lists it; ``None`` when there is none.

        Raises :class:`KernelError`.
        """
        code, shown, error = self._nft.cmd(f"list table {self.table_name}")
        if code == 0:
            return str(shown)
        if _NO_TABLE in error:
            return None
        raise KernelError(_reason(error))


def drift(text: str, door: type[Kernel] = Kernel) -> tuple[str, ...]:
    """What of our table is not as the full ``text`` would make it, a line each; nothing when it is exactly so.

    The wanted table is made in a network namespace of its own for a moment and listed by the same nftables, so
    that two listings are compared and no version's way of printing matters.

    Raises :class:`KernelError`, also without CAP_SYS_ADMIN.
    """
    found = door().table()
    with fresh_network():
        pattern = door()
        pattern.apply(text)
        wanted = pattern.table()
    if found is None or wanted is None:
        return (f"- table {door.table_name}",)
    return tuple(listing.differences(listing.parse(wanted), listing.parse(found)))


@contextlib.contextmanager
def fresh_network() -> Iterator[None]:
    """Within: this thread is in a new, empty network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            why = os.strerror(ctypes.get_errno())
            raise KernelError(f"cannot make a network namespace to compare with: {why}")
        try:
            yield
        finally:
            if libc.setns(home, _CLONE_NEWNET) != 0:
                raise KernelError(f"cannot go back to the node's network: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(home)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KernelError(str(error)) from None


def _reason(error: str) -> str:
    """nftables' complaint without the text it quotes, which may be long."""
    lines = [line for line in error.splitlines() if "Error:" in line]
    return (lines or error.split("\n") or ["no reason given"])[0][:300]
