"""What our boxes are made of beyond the nspawn root, as data: a change of the recipe makes a new box."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.drivers.nspawn import recipe

_VERSION = 5
"""Of what `box` and `ovf` do beyond this data."""

PACKAGES = ("ifupdown", "isc-dhcp-client", "linux-image-cloud-amd64")
"""Beyond those of a container: a kernel, and the tools by which Vagrant configures the private network."""

INSECURE_KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key\n"  # noqa: E501
"""Vagrant's well-known key, which it replaces by one of its own at the first ``vagrant up``."""

HOST_KEY = "/etc/ssh/ssh_host_ecdsa_key"
"""The only host key: an RSA key takes ten seconds to draw without KVM, and Vagrant's net-ssh reads no Ed25519."""

EARLY_FILES = {
    "etc/initramfs-tools/conf.d/box": "MODULES=list\nCOMPRESS=gzip\n",
    "usr/share/initramfs-tools/modules.d/box": "virtio_pci\nvirtio_blk\nata_piix\nsd_mod\n",
}
"""Files that are there before the kernel is installed. The disk is virtio under libvirt, PIIX4 IDE under VirtualBox."""

_NAME = """\
# The machine's name is in its SMBIOS. Vagrant would give it one by hostnamed and a restart of the network: fifteen
# seconds without KVM.
name=$(sed -n 's/^nodeport:\\([a-z0-9-]*\\)$/\\1/p' /sys/class/dmi/id/product_serial)
if [ -n "$name" ] && [ "$(cat /etc/hostname)" != "$name" ]; then
    echo "$name" >/etc/hostname
    echo "127.0.1.1 $name" >>/etc/hosts
    hostname "$name"
fi
"""

FILES = {
    "etc/fstab": "LABEL=root / ext4 defaults,noatime 0 1\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/modprobe.d/box.conf": "".join(
        f"blacklist {module}\n" for module in ("kvm_amd", "kvm_intel", "floppy", "psmouse", "serio_raw", "sr_mod")
    ),
    "etc/network/interfaces": "auto lo\niface lo inet loopback\n\nallow-hotplug eth0\niface eth0 inet dhcp\n",
    "etc/ssh/sshd_config.d/box.conf": f"HostKey {HOST_KEY}\nUseDNS no\n",
    "root/.ssh/authorized_keys": INSECURE_KEY,
    "etc/systemd/system/ssh.service.d/keys.conf": (
        "[Service]\nExecStartPre=\nExecStartPre=/bin/sh /usr/local/lib/nodeport-name\n"
        f"ExecStartPre=/bin/sh -c 'test -s {HOST_KEY} || ssh-keygen -q -t ecdsa -N \"\" -f {HOST_KEY}'\n"
        "ExecStartPre=/usr/sbin/sshd -t\n"
    ),
    "usr/local/lib/nodeport-name": _NAME,
    "extlinux.conf": (
        "SERIAL 0 115200\nDEFAULT linux\nPROMPT 0\nTIMEOUT 0\nLABEL linux\n  KERNEL /vmlinuz\n  INITRD /initrd.img\n"
        "  APPEND root=LABEL=root rw net.ifnames=0 console=tty0 console=ttyS0 quiet mitigations=off\n"
    ),
}
"""Files laid over the root of a box, by path. Mitigations shield a guest's programs from each other: all are ours."""

MASKED = (
    "dev-hugepages.mount", "dev-mqueue.mount", "modprobe@dm_mod.service", "modprobe@drm.service",
    "modprobe@efi_pstore.service", "modprobe@fuse.service", "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount", "sys-fs-fuse-connections.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "systemd-binfmt.service", "systemd-logind.service", "systemd-pstore.service",
    "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
)  # fmt: skip
"""Units that a test machine does not need and that would make its boot slower."""

GENERATORS = (
    "systemd-cryptsetup-generator", "systemd-debug-generator", "systemd-getty-generator",
    "systemd-gpt-auto-generator", "systemd-hibernate-resume-generator", "systemd-integritysetup-generator",
    "systemd-rc-local-generator", "systemd-run-generator", "systemd-system-update-generator", "systemd-sysv-generator",
    "systemd-veritysetup-generator",
)  # fmt: skip
"""systemd runs each of them at the boot and whenever it reads its units anew; together 0.8 s without KVM."""

VAGRANTFILE = (
    'Vagrant.configure("2") do |config|\n  config.ssh.username = "root"\n  config.ssh.sudo_command = "%c"\n'
    '  config.ssh.shell = "sh"\n  config.vm.guest = :debian\nend\n'
)
"""The box's own Vagrantfile. Vagrant has root run some twenty commands by sudo, a second each without KVM, in a login
shell of bash, and as many to find out what the guest is."""

DISK_GB = 3
"""Of the disk that a guest sees; the image takes as much as is used."""

METADATA = {
    "libvirt": {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK_GB},
    "virtualbox": {"provider": "virtualbox"},
}
"""``metadata.json`` of a box by provider; the size is in GB."""

MAKE_FILE_SYSTEM = ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^64bit", "-L", "root", "-d")
"""Followed by the folder and the image. extlinux 6.04 reads no ext4 with 64 bit block numbers."""

MAKE_BOOTABLE = 'mount -o loop "$1" "$2" && extlinux --install "$2" && umount "$2"'
"""Shell, with the image and the folder to mount it on."""

PACK = {
    "libvirt": ("qemu-img", "convert", "-c", "-m", "4", "-O", "qcow2", "-o", "compression_type=zstd"),
    "virtualbox": ("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized"),
}
"""By provider: followed by the raw image and the packed one."""

CACHE = Path("/var/cache/nodeport-harness/boxes")


def digest(release: str) -> str:
    """A short digest of everything that shapes the box of a release."""
    parts = [_VERSION, recipe.digest(release), PACKAGES, EARLY_FILES, FILES, MASKED, GENERATORS, VAGRANTFILE,
             DISK_GB, METADATA, MAKE_FILE_SYSTEM, MAKE_BOOTABLE, PACK]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def path(release: str, provider: str) -> Path:
    """Where the box of a release for a provider is kept once it is whole."""
    return CACHE / f"{release}-{digest(release)}-{provider}.box"
