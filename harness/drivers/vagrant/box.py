"""Our own boxes: the root of the nspawn nodes with a kernel, as one bootable ext4 without partitions."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.drivers import Progress
from harness.drivers.nspawn import recipe, root
from harness.drivers.vagrant import box_recipe, domains, ovf
from harness.errors import DriverError, RigError, UsageError
from harness.support import clock, process

NEEDED_GB = 5
"""Of disk, while a box is built."""
_FULL = 20 * 2**20
"""Bytes; apt gives up before it has used the last one."""

_DIGEST = "nodeport-digest"
"""A file of the box: of what it was made."""

_KEPT_SECONDS = 24 * 3600


def ensure(release: str, provider: str, progress: Progress) -> Path:
    """The box of a release for ``libvirt`` or ``virtualbox``, built first when it is not there yet.

    Raises :class:`DriverError` when the build fails; nothing is left of it then.
    """
    if release not in recipe.RELEASES:
        raise UsageError(f"no box can be built for {release!r}", hint=f"known releases: {', '.join(recipe.RELEASES)}")
    made = box_recipe.path(release, provider)
    if made.exists():
        os.utime(made)
        return made
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        with _locked(made.with_name(f".{made.name}.lock"), progress):
            if not made.exists():
                progress(f"building the {release} box for {provider}, a minute or two, once")
                _assert_space(made.parent)
                with tempfile.TemporaryDirectory(dir=made.parent, prefix=f".{made.name}.") as folder:
                    _built(release, provider, Path(folder)).rename(made)
                _tidy(made, release, provider)
    except (RigError, OSError) as error:
        raise DriverError(
            f"the {release} box was not built: {error}",
            hint=f"it takes {NEEDED_GB} GB in {made.parent}, root, and mmdebstrap, extlinux, e2fsprogs, qemu-utils",
        ) from error
    return made


def add(release: str, provider: str, progress: Progress) -> Path:
    """Have Vagrant know the box as ``nodeport/RELEASE``, in place of an older one.

    Raises :class:`DriverError` when it cannot be built or Vagrant does not take it.
    """
    made = ensure(release, provider, progress)
    if _known(release, provider):
        return made
    words: list[str | Path] = [
        "vagrant",
        "box",
        "add",
        "--force",
        "--provider",
        provider,
        "--name",
        f"nodeport/{release}",
        made,
    ]
    done = process.run(words, timeout=300)
    if not done.ok:
        raise DriverError(f"Vagrant does not take the box: {done.last_words()}", hint=f"its file is {made}")
    if provider == "libvirt":
        domains.drop_images(f"nodeport-VAGRANTSLASH-{release}_vagrant_box_image")
    return made


def _known(release: str, provider: str) -> bool:
    """Whether Vagrant has this very box already."""
    home = Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
    try:
        there = (home / "boxes" / f"nodeport-VAGRANTSLASH-{release}" / "0" / provider / _DIGEST).read_text()
    except OSError:
        return False
    return there == box_recipe.digest(release)


def _tidy(made: Path, release: str, provider: str) -> None:
    """Remove boxes of former recipes that nobody has used for a day."""
    for other in made.parent.glob(f"{release}-*-{provider}.box"):
        if other != made and clock.now().timestamp() - other.stat().st_mtime > _KEPT_SECONDS:
            other.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Two builds at once build it once."""
    with path.open("w") as lock:

        def had() -> None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise clock.NotYet("it is still being built elsewhere") from None

        try:
            had()
        except clock.NotYet:
            progress("the box is being built elsewhere; waiting for it")
            clock.until(had, what="the box", within=900, every=0.5, failure=DriverError)
        yield
    path.unlink(missing_ok=True)


def _assert_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free / 2**30
    if free < NEEDED_GB:
        raise RigError(f"{folder} has {free:.1f} GB free, and it takes {NEEDED_GB} GB")


def _built(release: str, provider: str, folder: Path) -> Path:
    """The same as :func:`_build`, which cannot always tell that the disk was full: mmdebstrap does not say it."""
    try:
        return _build(release, provider, folder)
    except RigError as error:
        if shutil.disk_usage(folder).free < _FULL:
            raise RigError(f"{folder.parent} became full; {error}") from error
        raise


def _build(release: str, provider: str, folder: Path) -> Path:
    tree, raw = folder / "tree", folder / "box.raw"
    root.make(release, tree, more=box_recipe.PACKAGES, early=box_recipe.EARLY_FILES)
    _lay_over(tree)
    shutil.copyfile(tree / (tree / "vmlinuz").readlink(), folder / "vmlinuz")
    with raw.open("wb") as stream:
        stream.truncate(box_recipe.DISK_GB * 2**30)
    process.check([*box_recipe.MAKE_FILE_SYSTEM, tree, raw], what="making the file system of the box", timeout=300)
    shutil.rmtree(tree)
    (folder / "mount").mkdir()  # the mount is in a namespace of its own and ends with the command
    process.check(["unshare", "--mount", "sh", "-c", box_recipe.MAKE_BOOTABLE, "sh", raw, folder / "mount"],
                  what="making the box bootable", timeout=120)  # fmt: skip
    image = folder / ("box.img" if provider == "libvirt" else ovf.DISK)
    process.check([*box_recipe.PACK[provider], raw, image], what="packing the image of the box", timeout=300)
    texts = {
        _DIGEST: box_recipe.digest(release),
        "metadata.json": json.dumps(box_recipe.METADATA[provider]),
        "Vagrantfile": box_recipe.VAGRANTFILE,
    }
    if provider == "virtualbox":
        texts["Vagrantfile"] = ovf.VAGRANTFILE + box_recipe.VAGRANTFILE
        texts["box.ovf"] = ovf.text(f"nodeport-{release}", box_recipe.DISK_GB * 2**30, image.stat().st_size)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    kernel = ("vmlinuz",) if provider == "libvirt" else ()  # `kvm.sh` tries it
    with tarfile.open(folder / "whole.box", "w") as archive:
        for name in (*texts, *kernel, image.name):
            archive.add(folder / name, name)
    return folder / "whole.box"


def _lay_over(tree: Path) -> None:
    for name, text in box_recipe.FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    (tree / "root/.ssh").chmod(0o700)
    masked = [("system", unit) for unit in box_recipe.MASKED]
    masked += [("system-generators", generator) for generator in box_recipe.GENERATORS]
    for kind, name in masked:
        (tree / "etc/systemd" / kind).mkdir(parents=True, exist_ok=True)
        (tree / "etc/systemd" / kind / name).symlink_to("/dev/null")
