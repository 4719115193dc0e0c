"""Vagrant's failures in words for a person, and its end in order."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from harness.drivers.vagrant import console, domains, program
from harness.errors import DriverError
from harness.support import clock, process


@pytest.mark.parametrize(
    ("said", "mends"),
    [
        ("The box 'nodeport/bookworm' could not be found or\ncould not be accessed in the remote catalog.", "make box"),
        ("Call to virNetworkCreate failed: internal error: Network is already in use by interface eth9", "192.168.56"),
        ("Name `nodeport-363c40e1-n1` of domain about to create is already taken.", "harness down"),
        ("Error while connecting to Libvirt: Failed to connect socket to '/var/run/libvirt/libvirt-sock'", "vm-host"),
        ("qemu-system-x86_64: failed to initialize kvm: No such device", "NODEPORT_ACCELERATOR=qemu"),
        ("error: internal error: cannot set up guest memory 'pc.ram': Cannot allocate memory", "less `memory`"),
        ("Another Vagrant makes or removes the machines of this folder; wait until it has ended.", "wait until"),
        ("Call to virStorageVolUpload failed: write failed: No space left on device", "disk is full"),
        ("Timed out while waiting for the machine to boot. This means that\nVagrant was unable", "ACCELERATOR=qemu"),
        ("n2 does not boot: Kernel panic - not syncing: VFS. All that it said: n2-console.log", "destroy -f"),
        ("n2 does not boot: it has said nothing on its console for 120 s", "ACCELERATOR=qemu"),
        ("something new", "harness doctor"),
    ],
)
def test_a_failure_says_what_mends_it(said: str, mends: str) -> None:
    assert mends in program.advice(said)


def test_machines_that_do_not_boot_are_named_first() -> None:
    said = f"`vagrant up` failed:\nn2 does not boot: {PANIC}. All that it said: /x/n2.log\nAnother error\n"
    assert program.not_booting(said) == [f"n2 does not boot: {PANIC}"]


def _vagrant(folder: Path, script: str) -> None:
    """A program called `vagrant` in a folder of its own, first on the path."""
    path = folder / "bin" / "vagrant"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_vagrant_said_is_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _vagrant(tmp_path, "echo bringing up; echo 'No space left on device' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(DriverError, match=r"(?s)vagrant up.*bringing up.*No space left.*the disk is full"):
        program.call(tmp_path, "up")


_CALL = (
    "import pathlib, sys; from harness.drivers.vagrant import program; program.call(pathlib.Path(sys.argv[1]), 'up')"
)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_lets_vagrant_clear_away(tmp_path: Path) -> None:
    """The harness ends only after Vagrant has: here a program that tidies for a moment after SIGINT."""
    _vagrant(tmp_path, "trap 'sleep 0.5; touch cleared; exit 1' INT; touch began; while :; do sleep 0.1; done")
    env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    with process.start([sys.executable, "-c", _CALL, tmp_path], env=env) as child:
        try:
            clock.until(lambda: _exists(tmp_path / "began"), what="vagrant", within=20)
            child.send_signal(signal.SIGINT)
            child.wait(timeout=20)
        finally:
            process.end_group(child)
    assert (tmp_path / "cleared").exists()


def _exists(path: Path) -> None:
    if not path.exists():
        raise clock.NotYet(f"no {path.name}")


def test_the_console_of_an_earlier_start_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "LOGS", tmp_path)
    log = tmp_path / f"{domains.prefix(tmp_path)}n1-console.log"
    log.write_text("Booting\n\x1b[2JKernel panic - not syncing: VFS\n")
    at = log.stat().st_mtime
    assert console.of(tmp_path, "n1", at).end == "Kernel panic - not syncing: VFS"
    assert console.of(tmp_path, "n1", at + 1).lines == ()
    assert console.of(tmp_path, "n2", at).told("n2").endswith("n2-console.log): nothing")


GREETING = "\r\nSYSLINUX 6.04 20210613 Copyright (C) 1994-2015 H. Peter Anvin et al\r\n"
PANIC = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
NO_ROOT = "ALERT!  LABEL=lost does not exist.  Dropping to a shell!"
EMERGENCY = "You are in emergency mode. After logging in, type"


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("", ""),
        (GREETING, ""),
        (f"{GREETING}[    1.8] {PANIC}\r\n", PANIC),
        (f"{GREETING}Gave up waiting for root file system device.\r\n{NO_ROOT}\r\n(initramfs) \x1b[6n", NO_ROOT),
        (f"{GREETING}UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\r\n(initramfs) ", "(initramfs)"),
        (f"{GREETING}{EMERGENCY}", EMERGENCY),
        (f"{GREETING}Could not find kernel image: /vmlinuz\r\nboot: ", "Could not find kernel image: /vmlinuz"),
        (f"{GREETING}{PANIC}\r\n{GREETING}Debian GNU/Linux 12 n1 ttyS0\r\n", ""),
        ("n1 systemd[1]: kernel panic is a phrase, emergency mode another\r\n", ""),
    ],
)
def test_a_console_tells_a_boot_that_has_ended_from_one_that_may_go_well(said: str, end: str) -> None:
    assert console.read(Path("console.log"), said).end == end


def test_what_led_to_the_end_of_a_boot_is_shown_and_what_followed() -> None:
    text = "\n".join(
        [*(f"before {number}" for number in range(30)), PANIC, *(f"after {number}" for number in range(30))]
    )
    said = console.read(Path("console.log"), text)
    assert {PANIC, "before 29", "after 0"} < set(said.lines)
    assert len(said.lines) == 15
