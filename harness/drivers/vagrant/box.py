"""Our own boxes: the root of the nspawn nodes with a kernel, as one bootable ext4 without partitions.

``python -m harness.drivers.vagrant.box bookworm`` builds one and adds it to Vagrant as ``nodeport/bookworm``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from harness.drivers import Progress
from harness.drivers.nspawn import recipe, root
from harness.errors import DriverError, HarnessError, RigError, UsageError
from harness.support import process

_VERSION = 1
"""Of what this module does beyond its data."""

PACKAGES = ("ifupdown", "isc-dhcp-client", "linux-image-cloud-amd64")
"""Beyond those of a container: a kernel, and the tools by which Vagrant configures the private network."""

INSECURE_KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key\n"  # noqa: E501
"""Vagrant's well-known key, which it replaces by one of its own at the first ``vagrant up``."""

FILES = {
    "etc/fstab": "LABEL=root / ext4 defaults,noatime 0 1\n",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\n\nallow-hotplug eth0\niface eth0 inet dhcp\n",
    "root/.ssh/authorized_keys": INSECURE_KEY,
    "etc/systemd/system/ssh.service.d/keys.conf": "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\n"
    "ExecStartPre=/usr/sbin/sshd -t\n",
    "extlinux.conf": "DEFAULT linux\nPROMPT 0\nTIMEOUT 0\nLABEL linux\n  KERNEL /vmlinuz\n  INITRD /initrd.img\n"
    "  APPEND root=LABEL=root rw net.ifnames=0 console=ttyS0 quiet\n",
}
"""Files laid over the root of a box, by path."""

VAGRANTFILE = 'Vagrant.configure("2") do |config|\n  config.ssh.username = "root"\nend\n'
"""The box's own Vagrantfile."""

METADATA = {"provider": "libvirt", "format": "qcow2", "virtual_size": 3}
"""``metadata.json`` of a libvirt box; the size is in GB."""

CACHE = Path("/var/cache/nodeport-harness/boxes")


def digest(release: str) -> str:
    """A short digest of everything that shapes the box of a release."""
    text = json.dumps([_VERSION, recipe.digest(release), PACKAGES, FILES, VAGRANTFILE, METADATA])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def path(release: str) -> Path:
    """Where the libvirt box of a release is kept once it is whole."""
    return CACHE / f"{release}-{digest(release)}-libvirt.box"


def ensure(release: str, progress: Progress) -> Path:
    """The box of a release, built first when it is not there yet.

    Raises :class:`DriverError` when the build fails; nothing is left of it then.
    """
    if release not in recipe.RELEASES:
        raise UsageError(f"no box can be built for {release!r}", hint=f"known releases: {', '.join(recipe.RELEASES)}")
    made = path(release)
    if made.exists():
        return made
    CACHE.mkdir(parents=True, exist_ok=True)
    progress(f"building the {release} box, about 90 s, once")
    try:
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{made.name}.") as folder:
            _build(release, Path(folder)).rename(made)
    except (RigError, OSError) as error:
        raise DriverError(
            f"the {release} box was not built: {error}",
            hint=f"it takes 4 GB in {CACHE}, root, and mmdebstrap, extlinux, qemu-utils",
        ) from error
    return made


def _build(release: str, folder: Path) -> Path:
    tree, raw, image = folder / "tree", folder / "box.raw", folder / "box.img"
    root.make(release, tree, more=PACKAGES)
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "root/.ssh").chmod(0o700)
    with raw.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    process.check(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^64bit", "-L", "root", "-d", tree, raw],
                  what="making the file system of the box", timeout=300)  # fmt: skip
    shutil.rmtree(tree)
    _make_bootable(raw, folder / "mount")
    process.check(["qemu-img", "convert", "-c", "-O", "qcow2", raw, image],
                  what="packing the image of the box", timeout=300)  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "Vagrantfile").write_text(VAGRANTFILE)
    with tarfile.open(folder / "whole.box", "w") as archive:
        for name in ("metadata.json", "Vagrantfile", "box.img"):
            archive.add(folder / name, name)
    return folder / "whole.box"


DISK_BYTES = 3 * 2**30
"""Of the disk that a guest sees; the image takes as much as is used."""


def _make_bootable(raw: Path, mount: Path) -> None:
    """Put extlinux into the boot block; the mount is in a namespace of its own and ends with the command."""
    mount.mkdir()
    script = 'mount -o loop "$1" "$2" && extlinux --install "$2" && umount "$2"'
    process.check(["unshare", "--mount", "sh", "-c", script, "sh", raw, mount],
                  what="making the box bootable", timeout=120)  # fmt: skip


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Build the boxes of the releases on the command line and add each to Vagrant, in place of an older one."""
    for release in sys.argv[1:]:
        try:
            made = ensure(release, _say)
            process.check(["vagrant", "box", "add", "--force", "--name", f"nodeport/{release}", made],
                          what="adding the box to Vagrant", timeout=300)  # fmt: skip
        except HarnessError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(error.exit_code) from None
        sys.stdout.write(f"nodeport/{release}: {made}\n")


if __name__ == "__main__":
    main()
