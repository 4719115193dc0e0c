"""What the Makefile asks: ``python -m harness.drivers.vagrant box RELEASE[:PROVIDER]...`` and ``host start|stop``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from harness.drivers.vagrant import box, host
from harness.errors import HarnessError, UsageError


def _box(words: Sequence[str]) -> None:
    for word in words or ("bookworm",):
        release, _, provider = word.partition(":")
        if provider not in ("", "libvirt", "virtualbox"):
            raise UsageError(f"no box can be built for {provider!r}", hint="known providers: libvirt, virtualbox")
        made = box.add(release, provider or "libvirt", _say)
        sys.stdout.write(f"nodeport/{release}: {made}\n")


def _host(words: Sequence[str]) -> None:
    verbs: dict[tuple[str, ...], Callable[[], None]] = {("start",): host.start, ("stop",): host.stop}
    if tuple(words) not in verbs:
        raise UsageError(f"host {' '.join(words)} is no verb", hint="host start, host stop")
    verbs[tuple(words)]()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(words: Sequence[str]) -> int:
    """Carry out one line of words and return the exit code; what is wrong is said on stderr."""
    parts: dict[str, Callable[[Sequence[str]], None]] = {"box": _box, "host": _host}
    try:
        if not words or words[0] not in parts:
            raise UsageError(f"known words: {', '.join(parts)}")
        parts[words[0]](words[1:])
    except HarnessError as error:
        _say(f"{error}\n  {error.hint}" if error.hint else str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
