"""The cached Debian roots: built once, whole or not at all, shared by overlay."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from harness.drivers import Progress
from harness.drivers.nspawn import recipe
from harness.errors import DriverError, RigError
from harness.support import clock, process

_BUILD_SECONDS = 900
_KEPT_SECONDS = 24 * 3600

_CAGED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
"""A build dies with the harness, all of it and its mounts, however the harness ended."""


def ensure(release: str, progress: Progress) -> Path:
    """The root of a release, built first when it is not there yet. Two labs at once build it once.

    Raises :class:`DriverError` when the build fails.
    """
    root = recipe.path(release)
    if not root.is_dir():
        recipe.CACHE.mkdir(parents=True, exist_ok=True)
        with _lock(root).open("w") as lock:
            _wait_for(lock, release, progress)
            if not root.is_dir():
                progress(f"building the {release} root, about 40 s, once")
                _build(release, root)
    os.utime(root)  # used just now: `tidy` asks
    return root


def tidy(used: Collection[str]) -> None:
    """Remove what builds that were cut off left, and roots of former recipes that no lab uses, a day later.

    ``used`` are the names of roots that labs use.
    """
    current = {recipe.path(release) for release in recipe.RELEASES}
    now = clock.now().timestamp()
    for folder in list(recipe.CACHE.glob("*-*")) if recipe.CACHE.is_dir() else ():
        with contextlib.suppress(OSError):
            old = now - folder.stat().st_mtime > _KEPT_SECONDS
            if folder.name.startswith("."):
                _remove_cut_off(folder)
            elif folder not in current and folder.name not in used and old:
                shutil.rmtree(folder)


def _remove_cut_off(path: Path) -> None:
    """Remove one unfinished build, with its lock, unless somebody builds there just now."""
    name = path.name.removeprefix(".").removesuffix(".part").removesuffix(".lock")
    root = recipe.CACHE / name
    with _lock(root).open("w") as lock, contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(_partial(root), ignore_errors=True)


def _lock(root: Path) -> Path:
    return root.with_name(f".{root.name}.lock")


def _partial(root: Path) -> Path:
    return root.with_name(f".{root.name}.part")


def _wait_for(lock: IO[str], release: str, progress: Progress) -> None:
    def had() -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise clock.NotYet("another lab still builds it") from None

    with contextlib.suppress(clock.NotYet):
        return had()
    progress(f"another lab builds the {release} root; waiting for it")
    return clock.until(had, what=f"the {release} root", within=_BUILD_SECONDS, every=0.2, failure=DriverError)


def _build(release: str, root: Path) -> None:
    partial = _partial(root)
    shutil.rmtree(partial, ignore_errors=True)  # left by a build that was cut off
    try:
        make(release, partial)
        partial.rename(root)
    except RigError as error:
        raise DriverError(
            str(error), hint="`harness doctor` looks at what it needs; are Debian's packages in reach?"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def make(release: str, folder: Path, *, more: Sequence[str] = (), early: Mapping[str, str] | None = None) -> None:
    """Make the root of a release in ``folder``, with ``more`` packages than a container needs.

    ``early`` are files, text by path, that are there before the first package is unpacked.

    Raises :class:`RigError` when that fails.
    """
    process.check([*_CAGED, *_mmdebstrap(release, folder, more, early or {})],
                  what=f"building the {release} root", timeout=_BUILD_SECONDS)  # fmt: skip
    _trim(folder, release)


def _mmdebstrap(release: str, folder: Path, more: Sequence[str], early: Mapping[str, str]) -> Iterator[str | Path]:
    yield from ("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase")
    yield f"--include={','.join((*recipe.PACKAGES, *more))}"
    yield '--aptopt=Acquire::Languages "none"'
    yield from (f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.LEFT_OUT)
    for name, text in early.items():
        yield f'--setup-hook=install -D /dev/null "$1"/{name} && printf %s {shlex.quote(text)} >"$1"/{name}'
    yield from (release, folder)


def _trim(root: Path, release: str) -> None:
    """Leave nothing that all nodes would share though each has its own, and nothing that makes the boot slower."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    for unit in recipe.MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for name, text in recipe.files(release).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for folder in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / folder, ignore_errors=True)
