"""The cached Debian roots: built once, whole or not at all, shared by overlay."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

from harness.drivers import Progress
from harness.drivers.nspawn import recipe
from harness.errors import DriverError, RigError
from harness.support import process

_BUILD_SECONDS = 900


def ensure(release: str, progress: Progress) -> Path:
    """The root of a release, built first when it is not there yet. Two labs at once build it once.

    Raises :class:`DriverError` when the release is unknown or the build fails.
    """
    if release not in recipe.RELEASES:
        raise DriverError(f"there is no node root for {release!r}", hint=f"known: {', '.join(recipe.RELEASES)}")
    root = recipe.path(release)
    if root.is_dir():
        return root
    recipe.CACHE.mkdir(parents=True, exist_ok=True)
    with (recipe.CACHE / f".{root.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another lab builds the {release} root; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            progress(f"building the {release} root, about a minute, once")
            _build(release, root)
    return root


def _build(release: str, root: Path) -> None:
    partial = root.with_name(f".{root.name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # left by a build that was cut off
    try:
        process.check(
            ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(recipe.PACKAGES)}",
             release, partial],
            what=f"building the {release} root", timeout=_BUILD_SECONDS,
        )  # fmt: skip
        _trim(partial)
        partial.rename(root)
    except RigError as error:
        raise DriverError(
            str(error), hint="`harness doctor` looks at what it needs; are Debian's packages in reach?"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _trim(root: Path) -> None:
    """Leave nothing that all nodes would share though each has its own, and nothing that makes the boot slower."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    for unit in recipe.MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for folder in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
        shutil.rmtree(root / folder, ignore_errors=True)
