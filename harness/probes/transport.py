"""How the probe program gets to a vantage point: a process in the client's namespace, or a channel over SSH.

Either way it is a pair of streams. SSH is paramiko, in this process, configured by the lab's own ``ssh_config``;
unknown host keys are refused.
"""

from __future__ import annotations

import shlex
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import paramiko

from harness.errors import RemoteError, RigError
from harness.model.cluster import Cluster
from harness.support import process

PROGRAM = Path(__file__).with_name("program.py")
_TIMEOUT = 10.0


class Streams(Protocol):
    """A running probe program: what it is told and what it says, line by line."""

    def write(self, text: bytes) -> None:
        """Send bytes at once."""

    def readline(self) -> bytes:
        """The next line; empty when the program is gone."""

    def close(self) -> None:
        """End the program."""


def _bootstrap(python: str) -> list[str]:
    size = PROGRAM.stat().st_size
    code = f'import sys;exec(compile(sys.stdin.buffer.read({size}),"probe","exec"),{{"__name__":"__main__"}})'
    return [python, "-SE", "-c", code]


class LocalStreams:
    """The program as a process of this machine, in the namespace of the outside client."""

    def __init__(self, client_netns: Path | None) -> None:
        inside = ["nsenter", f"--net={client_netns}"] if client_netns else []
        argv = [*inside, *_bootstrap(sys.executable)]
        self._child = process.start(argv, stdin=process.PIPE, stdout=process.PIPE, stderr=process.DEVNULL)
        assert self._child.stdin is not None  # noqa: S101 - asked for above
        assert self._child.stdout is not None  # noqa: S101 - asked for above
        self._in: IO[bytes] = self._child.stdin
        self._out: IO[bytes] = self._child.stdout
        self.write(PROGRAM.read_bytes())

    def write(self, text: bytes) -> None:
        """Send bytes at once."""
        self._in.write(text)
        self._in.flush()

    def readline(self) -> bytes:
        """The next line; empty when the program is gone."""
        return self._out.readline()

    def close(self) -> None:
        """End the program and everything it started."""
        with suppress(OSError):
            self._in.close()
        process.end_group(self._child)
        self._out.close()


class SshStreams:
    """The program on a node, by one SSH channel."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._client = connect(cluster.ssh_config, node)
        try:
            self._in, self._out, self._err = self._client.exec_command(shlex.join(_bootstrap("/usr/bin/python3")))
            self._in.channel.settimeout(330.0)
            self.write(PROGRAM.read_bytes())
        except (OSError, paramiko.SSHException) as error:
            self._client.close()
            raise RemoteError(f"{node}: the probe program does not start: {error}") from error

    def write(self, text: bytes) -> None:
        """Send bytes at once."""
        self._in.write(text)
        self._in.flush()

    def readline(self) -> bytes:
        """The next line; empty when the program or the connection is gone."""
        return str(self._out.readline()).encode()

    def close(self) -> None:
        """End the program by ending its input, and the connection."""
        self._client.close()


def connect(ssh_config: Path, node: str) -> paramiko.SSHClient:
    """A connection to a node as OpenSSH would make it with this configuration.

    Raises :class:`RemoteError` that names the node.
    """
    options = paramiko.SSHConfig.from_path(str(ssh_config)).lookup(node)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.load_host_keys(options.get("userknownhostsfile", str(Path("~/.ssh/known_hosts").expanduser())))
        client.connect(
            options["hostname"],
            port=int(options.get("port", 22)),
            username=options.get("user"),
            key_filename=options.get("identityfile"),
            sock=_proxied(options),
            timeout=_TIMEOUT,
            banner_timeout=_TIMEOUT,
            auth_timeout=_TIMEOUT,
            channel_timeout=_TIMEOUT,
            allow_agent=options.get("identitiesonly") != "yes",
            look_for_keys=options.get("identitiesonly") != "yes",
        )
    except (OSError, EOFError, paramiko.SSHException, RigError) as error:
        client.close()
        raise RemoteError(f"{node}: SSH does not answer: {error}", hint="`harness up` heals nodes of ours") from error
    return client


def _proxied(options: paramiko.SSHConfigDict) -> socket.socket | paramiko.ProxyCommand | None:
    """What a ``ProxyCommand`` leads to; with ``ProxyUseFdpass`` the connected socket that it hands over."""
    command = options.get("proxycommand")
    if not command:
        return None
    if options.get("proxyusefdpass") != "yes":
        return paramiko.ProxyCommand(command)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        child = process.start(shlex.split(command), stdout=theirs.fileno())
        theirs.close()
        try:
            ours.settimeout(_TIMEOUT)
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        finally:
            process.end_group(child)
    if not descriptors:
        raise RigError("the ProxyCommand handed over no connection")
    return socket.socket(fileno=descriptors[0])
