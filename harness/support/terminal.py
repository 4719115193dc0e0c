"""A program on this very terminal that is first told a secret, as by somebody who types it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from types import FrameType

import pexpect

from harness.errors import RigError


def answered(argv: Sequence[str], *, prompt: str, answer: str, ready: str, within: float = 60.0) -> int:
    """Run a program for a person, who comes on once it has said ``ready``; returns its exit code.

    ``prompt`` is answered before, once: the program has to turn off echo by itself, as sudo does. Raises
    :class:`RigError` when it asks again, or says neither within so many seconds.
    """
    child = pexpect.spawn(argv[0], list(argv[1:]), timeout=within, dimensions=_size())
    try:
        asked = False
        while True:
            match child.expect_exact([ready, prompt, pexpect.EOF, pexpect.TIMEOUT]):
                case 0:
                    return _hand_over(child)
                case 1 if not asked:
                    child.sendline(answer)
                    asked = True
                case 1:
                    raise RigError("the become password is wrong: sudo does not take it")
                case 2:
                    said = (child.before or b"").decode(errors="replace").strip().splitlines()
                    raise RigError(f"`{argv[0]}` ended: {said[-1] if said else 'it said nothing'}")
                case _:
                    raise RigError(f"`{argv[0]}` did not get as far as a shell within {within:g} s")
    finally:
        child.close(force=True)


def _hand_over(child: pexpect.spawn) -> int:
    def resize(_number: int, _frame: FrameType | None) -> None:
        child.setwinsize(*_size())

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        child.interact(escape_character=None)
    finally:
        signal.signal(signal.SIGWINCH, before)
    child.close()
    return 128 + child.signalstatus if child.signalstatus else int(child.exitstatus or 0)


def _size() -> tuple[int, int]:
    columns, lines = shutil.get_terminal_size()
    return lines, columns
