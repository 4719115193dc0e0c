"""How a command runs as root on a node that is entered as somebody else: by sudo, with a password or without one.

A password goes over the command's stdin alone: never into its words, which every user of a machine can list.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.model.cluster import Cluster
from harness.support import process

_SECONDS = 60.0
_READY = "ready"
_SKIP = f'while IFS= read -r line && [ "$line" != {_READY} ]; do :; done; exec "$@"'
"""Reads what sudo did not want to know: it asks for no password where it needs none, or remembers one."""


@dataclass(frozen=True, slots=True)
class Become:
    """How to be root on one node: nothing to do, or by ``sudo`` with ``password``, empty when it asks for none."""

    sudo: bool
    password: str = field(default="", repr=False)

    @property
    def words(self) -> tuple[str, ...]:
        """What stands before a command; :attr:`first` has to go to its stdin."""
        if not self.sudo:
            return ()
        return ("sudo", "-S", "-p", "", "--") if self.password else ("sudo", "-n", "--")

    @property
    def first(self) -> str:
        """What a command begun with :attr:`words` is told on its stdin; a command that needs none of it may get it."""
        return f"{self.password}\n" if self.password else ""

    def wrapped(self, words: Sequence[str]) -> tuple[tuple[str, ...], bytes]:
        """A command that reads its stdin itself, and what its stdin begins with."""
        if not self.password:
            return (*self.words, *words), b""
        return (*self.words, "sh", "-c", _SKIP, "sh", *words), f"{self.first}{_READY}\n".encode()

    def teach(self, backend: Any) -> None:
        """Have a testinfra backend ask its questions as root."""
        backend.sudo = self.sudo
        if self.password:
            backend.get_sudo_command = self._command
            backend.run_local = _Local(backend, self.first)

    def _command(self, command: str, _user: str | None) -> str:
        return shlex.join([*self.words, "/bin/sh", "-c", command])


@dataclass(frozen=True, slots=True)
class _Local:
    """testinfra's ``run_local``, with something to read for what it starts."""

    backend: Any
    first: str

    def __call__(self, command: str, *args: str) -> Any:
        argv = ["sh", "-c", self.backend.quote(command, *args)]
        done = process.run(argv, stdin=self.first, timeout=_SECONDS)
        return self.backend.result(done.code, command.encode(), done.out.encode(), done.err.encode())


def root(cluster: Cluster, node: str) -> Become:
    """How to be root on a node."""
    from harness.probes import ssh  # noqa: PLC0415 - paramiko is half of what most verbs take to start

    known = cluster.become_passwords
    return Become(ssh.user_of(cluster.ssh_config, node) != "root", known.get(node) or known.get("", ""))
