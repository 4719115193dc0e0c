"""KVM that is missing, closed, or there and of no use: what is decided is what a guest really does."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from harness.drivers.vagrant import acceleration, domains
from harness.support import process
from tests.vm.machines import ROOT, a_folder, need_boxes

pytestmark = pytest.mark.lab

OWN_DEV = """\
mount -t tmpfs dev "$1" || exit 1
for name in null zero random urandom; do touch "$1/$name"; mount --bind "/dev/$name" "$1/$name"; done
[ "$2" = missing ] || mknod "$1/kvm" c 1 3
mount --rbind "$1" /dev && shift 2 && exec "$@"
"""
"""Shell that runs a command with a /dev of its own: /dev/kvm is missing there, or answers to nothing, as /dev/null."""


def with_dev(folder: Path, kvm: str, *words: str | Path) -> process.Completed:
    (folder / "dev").mkdir()
    env = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    command: list[str | Path] = ["unshare", "--mount", "sh", "-c", OWN_DEV, "sh", folder / "dev", kvm, *words]
    return process.run(command, cwd=folder, env=env, timeout=120)


def test_without_dev_kvm_doctor_says_what_the_guests_run_under(tmp_path: Path) -> None:
    (tmp_path / "harness").symlink_to(ROOT / "harness")
    done = with_dev(tmp_path, "missing", sys.executable, "-m", "harness", "--driver", "vagrant", "doctor")
    assert "✓ accelerator" in done.out, done.out + done.err
    assert "guests run under QEMU without KVM: there is no /dev/kvm" in done.out


def test_a_kvm_that_is_closed_to_the_user_is_not_used(tmp_path: Path) -> None:
    if not Path("/dev/kvm").exists():
        pytest.skip("there is no /dev/kvm")
    tmp_path.chmod(0o755)
    words = ["setpriv", "--reuid", "nobody", "--clear-groups", "sh", str(acceleration.PROBE)]
    done = process.run(words, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, timeout=60)
    assert done.out.splitlines() == ["qemu", "/dev/kvm may not be opened by nobody (adduser nobody kvm)"], done.err


def test_a_kvm_that_runs_no_guest_is_not_used_and_asked_once(tmp_path: Path) -> None:
    need_boxes("bookworm")
    done = with_dev(tmp_path, "useless", acceleration.PROBE)
    answer, why = done.out.splitlines()
    assert answer == "qemu", done.out
    assert why.startswith("/dev/kvm is there and of no use, QEMU says: "), why
    assert "kvm" in why.lower().partition("says: ")[2], "QEMU's own words"
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    (tmp_path / "qemu-system-x86_64").write_text("#!/bin/sh\necho called >>called\nexit 1\n")
    (tmp_path / "qemu-system-x86_64").chmod(0o755)
    assert process.run([acceleration.PROBE], env=env, cwd=tmp_path).out == done.out
    assert not (tmp_path / "called").exists()


@pytest.mark.vm
@pytest.mark.parametrize(("kvm", "without", "answer"), [("sleep 25", "", "qemu"), ("", "sleep 20; ", "kvm")],
                         ids=["hangs", "is faster"])  # fmt: skip
def test_kvm_is_used_when_a_guest_is_there_first(kvm: str, without: str, answer: str, tmp_path: Path) -> None:
    """KVM itself is imitated, for neither a working one nor one that hangs is everywhere: by a guest without it."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("there is no /dev/kvm that may be opened")
    need_boxes("bookworm")
    real = shutil.which("qemu-system-x86_64")
    run = f'exec {real} -accel tcg "$@"'
    under_kvm = f'if [ "$accel" = kvm ]; then {kvm or run}; fi'
    script = f"#!/bin/sh\naccel=$2; shift 2\n{under_kvm}\n{without}{run}\n"
    (tmp_path / "qemu-system-x86_64").write_text(script)
    (tmp_path / "qemu-system-x86_64").chmod(0o755)
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = process.run([acceleration.PROBE], env=env, timeout=120)
    assert done.out.splitlines()[0] == answer, done.out
    assert ("of no use: a guest under it was not there" in done.out) == (answer == "qemu")


@pytest.mark.vm
def test_a_kvm_of_no_use_that_is_asked_for_is_told_and_nothing_is_left() -> None:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or acceleration.decided().kvm:
        pytest.skip("there is no /dev/kvm, or it is of use")
    with a_folder(131, ("bookworm",)) as machine:
        words = [sys.executable, "-m", "harness", "--driver", "vagrant", "up"]
        done = process.run(words, cwd=machine.folder, env={**os.environ, "NODEPORT_ACCELERATOR": "kvm"}, timeout=600)
        assert done.code == 4, done.out + done.err
        assert "the guests run under KVM: NODEPORT_ACCELERATOR says so" in done.err
        assert "NODEPORT_ACCELERATOR=qemu does without" in done.err
        assert "Traceback" not in done.err
        assert domains.there(machine.folder) == {}
