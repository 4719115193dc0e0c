"""The socat processes of the relay: started without a shell, counted, reaped."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence

SOCAT = "/usr/bin/socat"


class Children:
    """The processes that run."""

    def __init__(self) -> None:
        self._running: set[int] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, words: Sequence[str], ends: Sequence[int]) -> int:
        """Run socat with these descriptors as its 0, 1, …; returns the process id.

        Raises :class:`OSError`.
        """
        quiet = [(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
        given = [(os.POSIX_SPAWN_DUP2, end, place) for place, end in enumerate(ends)]
        own = os.posix_spawn(
            SOCAT, [SOCAT, *words], {}, file_actions=[*given, *quiet], setsigmask=(), setsigdef=(signal.SIGPIPE,)
        )
        self._running.add(own)
        return own

    def reap(self) -> list[int]:
        """Take note of those that ended; their process ids."""
        ended = []
        while self._running:
            try:
                own, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if own == 0:
                break
            self._running.discard(own)
            ended.append(own)
        return ended

    def end(self, some: Sequence[int]) -> None:
        """End these and wait until they did: they hold nothing that would want to be put away."""
        known = [own for own in some if own in self._running]
        for own in known:
            os.kill(own, signal.SIGKILL)
        for own in known:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(own, 0)
            self._running.discard(own)

    def end_all(self) -> None:
        """End every one."""
        self.end(list(self._running))
