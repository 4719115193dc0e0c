"""SSH in this process by paramiko, configured by the lab's own ``ssh_config`` as OpenSSH would be.

Every step has a timeout, since paramiko hangs without them, and a host key that is not known is refused.
"""

from __future__ import annotations

import logging
import shlex
import socket
from contextlib import suppress
from pathlib import Path

import paramiko

from harness.errors import RemoteError, RigError
from harness.support import process

SECONDS = 10.0
"""The longest that any one step of making a connection may take."""

FAILURES = (OSError, EOFError, paramiko.SSHException)
"""What a connection that is there may raise."""

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else its tracebacks reach a person's terminal


def user_of(ssh_config: Path, node: str) -> str:
    """The user as whom a node is reached, empty when the configuration leaves that to ssh."""
    return str(paramiko.SSHConfig.from_path(str(ssh_config)).lookup(node).get("user", ""))


class Connection:
    """An SSH connection to the node of that name in ``ssh_config``.

    Raises :class:`RemoteError` that names the node.
    """

    def __init__(self, ssh_config: Path, node: str) -> None:
        self._node = node
        self._proxy: process.Process[bytes] | None = None
        self._socket: socket.socket | None = None
        self._client = paramiko.SSHClient()
        try:
            self._connect(paramiko.SSHConfig.from_path(str(ssh_config)).lookup(node))
        except (*FAILURES, ValueError, RigError) as error:
            self.close()
            said = str(error) or type(error).__name__
            raise RemoteError(f"{node}: SSH does not answer: {said}", hint=f"ssh -F {ssh_config} {node}") from error

    def channel(self) -> paramiko.Channel:
        """A new channel, on which one command can be run.

        Raises :class:`RemoteError` when the connection is gone.
        """
        transport = self._client.get_transport()
        if transport is None:
            raise RemoteError(f"{self._node}: the SSH connection is closed")
        return transport.open_session(timeout=SECONDS)

    def close(self) -> None:
        """End the connection and everything that was started for it."""
        self._client.close()
        if self._socket is not None:
            self._socket.close()
        if self._proxy is not None:
            process.end_group(self._proxy)
            self._proxy = None

    def _connect(self, options: paramiko.SSHConfigDict) -> None:
        self._client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for file in shlex.split(options.get("userknownhostsfile", "~/.ssh/known_hosts")):
            with suppress(FileNotFoundError):
                self._client.load_host_keys(str(Path(file).expanduser()))
        self._socket = self._reach(options)
        only_these_keys = options.get("identitiesonly", "no").lower() == "yes"
        self._client.connect(
            options.get("hostkeyalias", options["hostname"]),
            port=22 if "hostkeyalias" in options else int(options.get("port", 22)),
            username=options.get("user"),
            key_filename=options.get("identityfile"),
            sock=self._socket,
            timeout=SECONDS,
            banner_timeout=SECONDS,
            auth_timeout=SECONDS,
            channel_timeout=SECONDS,
            allow_agent=not only_these_keys,
            look_for_keys=not only_these_keys,
        )

    def _reach(self, options: paramiko.SSHConfigDict) -> socket.socket:
        """A connected socket to the node's sshd, made in this process or by the ``ProxyCommand``."""
        command = options.get("proxycommand", "none")
        if command == "none":
            return socket.create_connection((options["hostname"], int(options.get("port", 22))), timeout=SECONDS)
        ours, theirs = socket.socketpair()
        with theirs:
            words = shlex.split(command)
            words = words[1:] if words[:1] == [process.APART] else words  # it ends with this connection alone
            self._proxy = process.start(words, stdin=theirs.fileno(), stdout=theirs.fileno())
        if options.get("proxyusefdpass", "no").lower() != "yes":
            return ours
        with ours:
            ours.settimeout(SECONDS)
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if not descriptors:
            raise RigError("its ProxyCommand did not connect")
        return socket.socket(fileno=descriptors[0])
