"""A private libvirt for a machine without systemd: virtlogd and libvirtd in a network namespace of their own.

``python -m harness.drivers.vagrant host start`` (or ``stop``). The bridges of the VMs then live in that namespace
and never on the host. Where a libvirt runs already this is not needed, and refuses.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

from harness.errors import DriverError
from harness.support import clock, netns, process

NETNS = netns.FOLDER / "nodeport-vms"
FOLDER = Path("/run/nodeport-harness/vm-host")
SOCKET = Path("/run/libvirt/libvirt-sock")
GROUP = Path("/sys/fs/cgroup/cpu/machine")
"""Where libvirt puts all of its machines when no systemd does (cgroup v1)."""
SHARES = 1024
"""What a group of processes weighs there unless told."""
_PROGRAMS = ("virtlogd", "libvirtd")


def start() -> None:
    """Make the namespace and start both daemons; called again it does nothing.

    Raises :class:`DriverError` when another libvirt runs here, or when ours does not answer.
    """
    if all(_alive(name) for name in _PROGRAMS) and NETNS.exists():
        return
    if SOCKET.exists() and _answers():
        raise DriverError("a libvirt runs here already", hint="`make vm-host` is not needed: go on with `vagrant up`")
    stop()
    FOLDER.mkdir(parents=True, exist_ok=True)
    netns.add(NETNS.name)
    process.check(["ip", "-n", NETNS.name, "link", "set", "lo", "up"], what="making the network namespace of the VMs")
    _let_libvirt_see_kvm()
    _weigh(SHARES * (os.cpu_count() or 1))
    inside = ["nsenter", f"--net={NETNS}"]
    for name in _PROGRAMS:
        process.check([*inside, name, "--daemon", "--pid-file", _pid_file(name)], what=f"starting {name}")
    clock.until(_ready, what="libvirtd", within=60, every=0.2, failure=DriverError)


def stop() -> None:
    """End exactly the daemons that ``start`` started, and remove the namespace.

    Raises :class:`DriverError` while virtual machines run there.
    """
    if machines := _machines():
        raise DriverError(f"virtual machines run: {', '.join(machines)}", hint="`vagrant destroy -f` in their folders")
    for name in reversed(_PROGRAMS):
        pid = _alive(name)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            clock.until(lambda name=name: _gone(name), what=f"the end of {name}", within=30, failure=DriverError)  # type: ignore[misc]
    _end_dnsmasq()
    if GROUP.exists():
        _weigh(SHARES)
    netns.delete(NETNS.name)
    shutil.rmtree(FOLDER, ignore_errors=True)
    with contextlib.suppress(OSError):  # somebody else's are in it, or it is gone
        FOLDER.parent.rmdir()


def _machines() -> list[str]:
    """The names of what runs in our namespace."""
    if not (_alive("libvirtd") and NETNS.exists()):
        return []
    return process.run(["virsh", "-q", "-c", "qemu:///system", "list", "--name"], timeout=30).out.split()


def _end_dnsmasq() -> None:
    """End what libvirt left in our namespace: its dnsmasq outlives it by design."""
    if not NETNS.exists():
        return
    for word in process.run(["ip", "netns", "pids", NETNS.name]).out.split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{word}/comm").read_text(encoding="utf-8").strip() == "dnsmasq":
                os.kill(int(word), signal.SIGTERM)


def _let_libvirt_see_kvm() -> None:
    """As udev would: with mode 0600 libvirt asks QEMU anew on every call, and `vagrant up` takes minutes."""
    device = Path("/dev/kvm")
    if device.exists():
        with contextlib.suppress(LookupError, OSError):
            shutil.chown(device, group="kvm")
            device.chmod(0o660)


def _weigh(shares: int) -> None:
    """What all machines together weigh: else as much as one shell, which is nearly nothing on a busy host."""
    with contextlib.suppress(OSError):  # no such group of this kind, or it is not ours to change
        if (GROUP.parent / "cpu.shares").exists():
            GROUP.mkdir(exist_ok=True)
            (GROUP / "cpu.shares").write_text(str(shares), encoding="ascii")


def _pid_file(name: str) -> Path:
    return FOLDER / f"{name}.pid"


def _alive(name: str) -> int:
    """The process id of our own daemon, 0 when it does not run."""
    try:
        pid = int(_pid_file(name).read_text(encoding="utf-8"))
        return pid if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == name else 0
    except (OSError, ValueError):
        return 0


def _gone(name: str) -> None:
    if _alive(name):
        raise clock.NotYet("it still runs")


def _answers() -> bool:
    return process.run(["virsh", "-c", "qemu:///system", "version"], timeout=30).ok


def _ready() -> None:
    if not _answers():
        raise clock.NotYet("it does not answer")
