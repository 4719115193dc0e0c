"""Manifests from where the user keeps them: files, folders, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import UsageError

SUFFIXES = (".yaml", ".yml", ".json")


def read(paths: Sequence[str]) -> tuple[tuple[str, bytes], ...]:
    """The names and contents of all manifests under ``paths``, folders taken whole and in order of their names.

    ``-`` means standard input. A file named twice is read once.

    Raises :class:`UsageError` that names every path that cannot be read, and every folder without a manifest.
    """
    found: dict[str, bytes] = {}
    faults: list[str] = []
    for path in paths:
        try:
            found.update(_read_one(path))
        except OSError as error:
            faults.append(f"{path}: {error.strerror or error}")
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))
    return tuple(found.items())


def _read_one(path: str) -> Iterator[tuple[str, bytes]]:
    if path == "-":
        yield "<stdin>", sys.stdin.buffer.read()
    elif not Path(path).is_dir():
        yield path, Path(path).read_bytes()
    else:
        files = sorted(file for file in Path(path).rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise UsageError(f"{path}: the folder has no manifest", hint=f"looked for *{', *'.join(SUFFIXES)}")
        yield from ((str(file), file.read_bytes()) for file in files)
