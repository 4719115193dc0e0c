"""Attempts at pods: a TCP connect, or one HTTP GET, without ever waiting for one of them.

What counts is core/v1's: a connection that opens, a status from 200 to 399. Redirects are not followed, as the kubelet
does not follow those to other hosts. A connection is closed by a reset: it leaves nothing behind on the node.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import selectors
import socket
import struct

from nodeportd.checks import Check
from nodeportd.health import Answer

AGENT = "kube-probe/nodeportd"
_ABORT = struct.pack("ii", 1, 0)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_AWAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)
_MOST = 1024
"""Bytes within which an HTTP answer has to show its status."""


class Attempt:
    """One attempt that is under way; ``deadline`` is when it has failed, on the clock that it was made with."""

    __slots__ = ("_got", "_selector", "_sock", "_waits", "check", "deadline")

    def __init__(self, check: Check, now: float, selector: selectors.BaseSelector) -> None:
        self.check, self.deadline = check, now + check.timeout_seconds
        self._selector, self._got, self._waits = selector, b"", True
        family = socket.AF_INET6 if ":" in check.address else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    def begin(self) -> Answer | None:
        """Start it; an answer when it fails at once."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        failed = self._sock.connect_ex((self.check.address, self.check.port))
        if failed not in (0, errno.EINPROGRESS):
            return self._end(_fault(failed))
        try:
            if self.check.kind == "http":  # a pod of this node has taken the connection by now
                self._ask()
        except BlockingIOError:
            pass
        except OSError as error:
            return self._end(_fault(error.errno or 0))
        self._selector.register(self._sock, selectors.EVENT_WRITE if self._waits else selectors.EVENT_READ, self)
        return None

    def go_on(self) -> Answer | None:
        """Its socket is ready: the answer, ``None`` as long as there is none."""
        try:
            if not self._waits:
                return self._heard()
            failed = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                return self._end(_fault(failed))
            if self.check.kind == "tcp":
                return self._end(Answer())
            self._ask()
            self._selector.modify(self._sock, selectors.EVENT_READ, self)
        except BlockingIOError:
            pass
        except OSError as error:
            return self._end(Answer(f"the connection broke: {error.strerror}"))
        return None

    def _ask(self) -> None:
        self._sock.send(request(self.check))
        self._waits = False

    def _heard(self) -> Answer | None:
        more = self._sock.recv(_MOST)
        self._got += more
        if more and b"\n" not in self._got and len(self._got) < _MOST:
            return None
        status = _STATUS.match(self._got)
        if status is None:
            return self._end(Answer("no HTTP answer" if self._got else "closed without an answer"))
        good = 200 <= int(status[1]) < 400
        return self._end(Answer() if good else Answer(f"HTTP {int(status[1])} for {self.check.path}"))

    def expire(self) -> Answer:
        """Its time is over."""
        what = "no connection" if self._waits else "no HTTP answer"
        return self._end(Answer(f"{what} within {self.check.timeout_seconds} s", silent=self._waits))

    def _end(self, answer: Answer) -> Answer:
        self.drop()
        return answer

    def drop(self) -> None:
        """Give it up; nothing is left of it."""
        with contextlib.suppress(KeyError):  # it failed before there was anything to wait for
            self._selector.unregister(self._sock)
        self._sock.close()


@functools.lru_cache(maxsize=4096)
def request(check: Check) -> bytes:
    """The HTTP request; headers of the check win over those that every request has, as in the kubelet."""
    own = {name.lower() for name, _ in check.headers}
    usual = [
        ("Host", check.host or (f"[{check.address}]" if ":" in check.address else check.address) + f":{check.port}"),
        ("User-Agent", AGENT),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]
    lines = [f"GET {check.path or '/'} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in usual if name.lower() not in own]
    lines += [f"{name}: {value}" for name, value in check.headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def _fault(number: int) -> Answer:
    if number == errno.ECONNREFUSED:
        return Answer("connection refused", gone=True)
    return Answer(os.strerror(number).lower(), silent=number in _AWAY)
