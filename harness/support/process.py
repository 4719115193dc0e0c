"""The one door to other programs.

Arguments are always a list: nothing ever goes through a shell. Every program is started in a session of
its own, so that it can be ended together with everything it started, and a Ctrl-C reaches the harness alone.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import RigError

Argv = Sequence[str | Path]

APART = "setsid"
"""The program that stands before a command which has to outlive the program that starts it: in a session of its own
(setsid(1)) it is not ended together with that one, as :func:`run` does with all that is left of a program."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended: its arguments, exit code and what it printed."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether the program ended with 0."""
        return self.code == 0

    @property
    def command(self) -> str:
        """The command line as a person would paste it into a shell."""
        return shlex.join(self.argv)

    def last_words(self) -> str:
        """The last line the program said, from stderr or else stdout; its exit code when it said nothing."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


class CommandFailed(RigError):
    """A program that had to succeed did not."""

    def __init__(self, done: Completed, what: str) -> None:
        self.done = done
        super().__init__(f"{what}: `{done.command}` ended with {done.code}: {done.last_words()}")


def run(
    argv: Argv,
    *,
    timeout: float = 60.0,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Run a program to its end and return what came of it, whatever its exit code.

    Raises :class:`RigError` when the program does not exist or takes longer than ``timeout`` seconds.
    """
    words = tuple(str(word) for word in argv)
    with start(
        words,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
    ) as child:
        try:
            out, err = child.communicate(stdin.encode() if stdin is not None else None, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RigError(f"`{shlex.join(words)}` did not end within {timeout:g} s") from None
        finally:
            end_group(child)
    return Completed(words, child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def check(
    argv: Argv,
    *,
    what: str,
    timeout: float = 60.0,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Run a program that has to succeed; ``what`` says for a person what it was for.

    Raises :class:`CommandFailed` otherwise.
    """
    done = run(argv, timeout=timeout, stdin=stdin, env=env, cwd=cwd)
    if not done.ok:
        raise CommandFailed(done, what)
    return done


def start(
    argv: Argv,
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own and return at once.

    Raises :class:`RigError` when the program does not exist.
    """
    words = [str(word) for word in argv]
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except FileNotFoundError:
        raise RigError(f"`{words[0]}` is not installed", hint="`harness doctor` says how to mend it") from None


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group of a program started here, and reap the program."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def interactive(argv: Argv, *, first: bytes = b"") -> int:
    """Run a program on this very terminal, for a person, and return its exit code.

    With ``first``, a few words that fit a pipe, its stdin begins with that, and goes on with ours.
    """
    words = [str(word) for word in argv]
    if not first:
        return subprocess.run(words, check=False).returncode
    begin, write = os.pipe()
    os.write(write, first)
    os.close(write)
    joined = subprocess.Popen(["cat", f"/dev/fd/{begin}", "-"], pass_fds=(begin,), stdout=subprocess.PIPE)
    try:
        os.close(begin)
        return subprocess.run(words, check=False, stdin=joined.stdout).returncode
    finally:
        joined.kill()  # it may still wait for somebody to type
        joined.communicate()


PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL
STDOUT = subprocess.STDOUT
Process = subprocess.Popen
TimeoutExpired = subprocess.TimeoutExpired
