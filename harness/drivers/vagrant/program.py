"""Vagrant as a program: one call at a time, what it said when it fails, and an orderly end at Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from harness.errors import DriverError, RigError
from harness.support import process

UP_SECONDS = 900
_CLEARING_SECONDS = 120
"""How long Vagrant may take after Ctrl-C to remove what it has half made."""

_ERRORS = "Any errors that occurred are shown below.\n"

_KNOWN = (
    (r"could not be found|couldn't be found.*box|Box '?\S+'? could not|box '[^']*' .*not.*found|URL:",
     "a box is missing: `make box` builds ours; others come from the catalogue by `vagrant box add`"),
    (r"already in use by interface|Network .* is already (in use|used)|overlaps with|NetworkCollision|collide",
     "192.168.56.0/24 is in use on this machine: end what uses it (`ip -4 address show to 192.168.56.0/24`)"),
    (r"[Nn]ame .*about to create is already taken|already exists with uuid",
     "machines of this folder that Vagrant has forgotten: `harness down --driver vagrant` removes them"),
    (r"connect.*libvirt|Failed to connect socket|libvirt-sock",
     "no libvirt answers: start libvirtd; without systemd: `make vm-host`"),
    (r"KVM is not available|could not access KVM|failed to initialize kvm|VT-x|AMD-V|VERR_VMX|VERR_SVM",
     "a guest does not run under KVM here: NODEPORT_ACCELERATOR=qemu does without"),
    (r"it has said nothing on its console",
     "its disk or box is spoilt, or KVM is broken (NODEPORT_ACCELERATOR=qemu does without); mended: `harness up`"),
    (r"does not boot: ",
     "its disk or box is spoilt (`vagrant destroy -f` it), or its `memory` is too little; mended: `harness up`"),
    (r"Timed out while waiting for the machine to boot",
     "what it said on its console tells how far it came; NODEPORT_ACCELERATOR=qemu does without a broken KVM"),
    (r"No space left|ENOSPC|disk full", "the disk is full: the images are in /var/lib/libvirt/images"),
    (r"Cannot allocate memory|cannot set up guest memory",
     "too little memory: less `memory` in inventories/vagrant/nodes.yml"),
    (r"Another Vagrant makes|another process is already executing|locked", "wait until the other call has ended"),
)  # fmt: skip
"""What Vagrant and libvirt say, by pattern, and what mends it."""


def advice(said: str) -> str:
    """What mends a failure of which Vagrant said that."""
    found = [hint for pattern, hint in _KNOWN if re.search(pattern, said)]
    return found[0] if found else "`harness doctor --driver vagrant` looks at what it needs"


def not_booting(said: str) -> list[str]:
    """What the plugin of the Vagrantfile says of machines that do not boot: a line for each."""
    return re.findall(r"^(\S+ does not boot: .*)\. All that it said: ", said, re.MULTILINE)


def call(folder: Path, *words: str) -> str:
    """Run Vagrant in the folder of a Vagrantfile and return what it printed.

    Raises :class:`DriverError` with its last lines. At Ctrl-C Vagrant hears of it too and clears away first.
    """
    env = {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1"}
    child = process.start(["vagrant", *words, "--no-color"], cwd=folder, env=env,
                          stdout=process.PIPE, stderr=process.STDOUT)  # fmt: skip
    try:
        out = _said(child, UP_SECONDS)
    except KeyboardInterrupt:
        _end_in_order(child)
        raise
    except process.TimeoutExpired:
        _end_in_order(child)
        raise DriverError(f"`vagrant {' '.join(words)}` did not end within {UP_SECONDS} s") from None
    finally:
        process.end_group(child)
    if child.returncode:
        raise DriverError(f"`vagrant {' '.join(words)}` in {folder} failed:\n{_last(out)}", hint=advice(out))
    return out


def _said(child: process.Process[bytes], seconds: float) -> str:
    out, _ = child.communicate(timeout=seconds)
    return out.decode(errors="replace")


def _end_in_order(child: process.Process[bytes]) -> None:
    """As Ctrl-C in a terminal would: Vagrant destroys machines that it has not finished."""
    os.killpg(child.pid, signal.SIGINT)
    try:
        _said(child, _CLEARING_SECONDS)
    except process.TimeoutExpired:
        raise RigError(
            "Vagrant did not clear away within its time", hint="`harness down` removes what is left"
        ) from None


def _last(out: str) -> str:
    """The last lines; of several machines at once it says itself where its errors begin."""
    lines = [line for line in out.partition(_ERRORS)[2].splitlines() or out.splitlines() if line.strip()]
    return "\n".join(lines[-12:])
