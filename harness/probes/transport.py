"""How the probe program gets to a vantage point: a process in the client's namespace, or a channel over SSH.

Either way it is a pair of streams. The program's text goes first, over its own stdin, so nothing has to be installed
on the far side and nothing stays there.
"""

from __future__ import annotations

import os
import select
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from harness.errors import RemoteError
from harness.model.cluster import Cluster
from harness.model.observation import OUTSIDE, pod_of
from harness.probes import become
from harness.support import process

PROGRAM = Path(__file__).with_name("program.py")
PODCTL = "/usr/local/lib/nodeport/podctl"
_CHUNK = 1 << 16


class Streams(Protocol):
    """A running probe program: what it is told and what it says."""

    def write(self, data: bytes) -> None:
        """Send bytes; raises :class:`OSError` when the program is gone."""

    def read(self, seconds: float) -> bytes:
        """What it said next, empty when it is gone; raises :class:`TimeoutError` after so many silent seconds."""

    def last_words(self) -> str:
        """Why it is gone: the last line that it, or what should have started it, complained with."""

    def close(self) -> None:
        """End the program."""


def bootstrap(python: str) -> list[str]:
    """The command that reads the program from its stdin and becomes it.

    Nothing may follow the program's text until it says that it is ready: Python reads ahead.
    """
    size = PROGRAM.stat().st_size
    code = f'import sys;exec(compile(sys.stdin.buffer.read({size}),"probe","exec"),{{"__name__":"__main__"}})'
    return [python, "-SE", "-c", code]


class LocalStreams:
    """The program as a process of this machine, in the network namespace ``netns`` (``None``: in ours)."""

    def __init__(self, netns: Path | None) -> None:
        inside = ["nsenter", f"--net={netns}"] if netns else []
        pipe = process.PIPE
        self._child = process.start([*inside, *bootstrap(sys.executable)], stdin=pipe, stdout=pipe, stderr=pipe)
        self._in, self._out, self._err = (
            _asked(pipe) for pipe in (self._child.stdin, self._child.stdout, self._child.stderr)
        )
        with suppress(OSError):  # a program that has ended already is noticed when it is read from
            self.write(PROGRAM.read_bytes())

    @property
    def pid(self) -> int:
        """The process id of the program."""
        return self._child.pid

    def write(self, data: bytes) -> None:
        """Send bytes; raises :class:`OSError` when the program is gone."""
        self._in.write(data)
        self._in.flush()

    def read(self, seconds: float) -> bytes:
        """What it said next, empty when it is gone; raises :class:`TimeoutError` after so many silent seconds."""
        if not select.select([self._out], [], [], seconds)[0]:
            raise TimeoutError(f"it was silent for {seconds:g} s")
        return os.read(self._out.fileno(), _CHUNK)

    def last_words(self) -> str:
        """The last line of its stderr; ends the program."""
        self._end()
        return _last_line(self._err.read(_CHUNK))

    def close(self) -> None:
        """End the program; it starts no other."""
        self._end()
        for stream in (self._in, self._out, self._err):
            with suppress(OSError):
                stream.close()

    def _end(self) -> None:
        if self._child.returncode is None:  # once reaped, its number may be another's
            process.end_group(self._child)


class SshStreams:
    """The program on a node, by one SSH channel; ``inside`` are words to run it by as root (``ip netns exec pod-1`` …).

    Raises :class:`RemoteError` that names the node.
    """

    def __init__(self, cluster: Cluster, node: str, inside: Sequence[str] = ()) -> None:
        from harness.probes import ssh  # noqa: PLC0415 - paramiko is half of what most verbs take to start

        self._connection = ssh.Connection(cluster.ssh_config, node)
        try:
            self._channel = self._connection.channel()
            words: Sequence[str] = [*inside, *bootstrap("/usr/bin/python3")]
            words, first = become.root(cluster, node).wrapped(words) if inside else (words, b"")
            self._channel.exec_command(shlex.join(words))
            self.write(first + PROGRAM.read_bytes())
        except ssh.FAILURES as error:
            self._connection.close()
            raise RemoteError(f"{node}: the probe program does not start: {error}") from error

    def write(self, data: bytes) -> None:
        """Send bytes; raises :class:`OSError` when the program is gone."""
        self._channel.sendall(data)

    def read(self, seconds: float) -> bytes:
        """What it said next, empty when it is gone; raises :class:`TimeoutError` after so many silent seconds."""
        self._channel.settimeout(seconds)
        try:
            return self._channel.recv(_CHUNK)
        except TimeoutError:
            raise TimeoutError(f"it was silent for {seconds:g} s") from None

    def last_words(self) -> str:
        """The last line of its stderr, as far as that has come."""
        said = b""
        while self._channel.recv_stderr_ready() and len(said) < _CHUNK:
            said += self._channel.recv_stderr(_CHUNK)
        return _last_line(said)

    def close(self) -> None:
        """End the program by ending its input, and the connection."""
        self._connection.close()


def at(cluster: Cluster, vantage: str, home: str) -> Streams:
    """The program at a vantage point; ``home`` is the node that a pod is on.

    Raises :class:`RemoteError`.
    """
    if vantage == OUTSIDE:
        return LocalStreams(cluster.client_netns)
    pod = pod_of(vantage)
    if not pod:
        return SshStreams(cluster, vantage)
    return SshStreams(cluster, home, (PODCTL, "exec", pod, "--"))


def _asked(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - asked for when the program was started
    return pipe


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
