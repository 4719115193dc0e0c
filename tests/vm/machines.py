"""Virtual machines for tests: in a folder of their own, so that a user's own machines are others."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.drivers.vagrant import domains
from harness.support import process

ROOT = Path(__file__).parents[2]
LAB = "default"
_INCONCLUSIVE = 3


@dataclass(frozen=True)
class Machines:
    """The folder of a Vagrantfile, with the verbs that a person would type there."""

    folder: Path

    def harness(self, *words: str, seconds: float = 900) -> process.Completed:
        """A verb of the harness."""
        return process.run([sys.executable, "-m", "harness", *words], cwd=self.folder, timeout=seconds)

    def well(self, *words: str, seconds: float = 900) -> process.Completed:
        """The same, which has to succeed."""
        done = self.harness(*words, seconds=seconds)
        assert done.ok, f"{words}: exit code {done.code}\n{done.out}{done.err}"
        return done

    def vagrant(self, *words: str) -> process.Completed:
        """Vagrant by hand."""
        return process.run(["vagrant", *words], cwd=self.folder, timeout=900)

    def ssh(self, node: str, command: str) -> process.Completed:
        """A command on one of them."""
        config = self.folder / f".harness/{LAB}/ssh_config"
        return process.run(["ssh", "-F", config, node, command], timeout=60)

    def on(self, node: str, command: str) -> str:
        """The same, which has to succeed; what it printed."""
        done = self.ssh(node, command)
        assert done.ok, f"{node}: {command}: {done.err}{done.out}"
        return done.out.strip()

    def prove(self, *words: str) -> str:
        """``harness verify``, or other words of which a report comes, has to prove the contract.

        Returns what it said on stderr. A starved machine connects slowly and may drop a SYN. That is no proof to a
        user, and no fault to this test, as long as a right pod answered every attempt.
        """
        done = self.harness(*(words or ("verify",)), seconds=2400)
        said = f"exit code {done.code}\n{done.out}{done.err}"
        assert done.code in (0, _INCONCLUSIVE), said
        for verdict in self.report()["verdicts"]:
            if verdict["status"] not in ("PASS", "SKIP"):
                seen = verdict["evidence"]
                assert (verdict["check"], verdict["status"]) == ("answers", "INCONCLUSIVE"), said
                assert not seen["failures"], said
                assert not seen["wrong"], said
        return done.err

    def report(self) -> dict[str, Any]:
        """What the last run of the harness wrote."""
        newest = max(
            (self.folder / f".harness/{LAB}/runs").glob("*/report.json"), key=lambda path: path.stat().st_mtime
        )
        read: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
        return read

    def resident(self) -> list[float]:
        """MB of memory that the process of each machine takes."""
        wanted = [f"guest={domains.prefix(self.folder)}{name}".encode() for name in domains.there(self.folder)]
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if any(word in file.read_bytes() for word in wanted):
                    status = (file.parent / "status").read_text().splitlines()
                    found += [int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS")]
            except OSError:
                continue
        return found


@contextmanager
def a_folder(first: int, releases: Sequence[str] = ("bookworm",) * 3) -> Iterator[Machines]:
    """Boxes and a libvirt that answers, and a folder for machines from the address 192.168.56.FIRST on.

    No machine outlives it. In CI a missing tool is a failure, elsewhere the tests are skipped.
    """
    need_programs()
    started = not domains.virsh("version").ok
    if started:
        _ours("host", "start")
    need_boxes(*dict.fromkeys(releases))
    folder = Path(tempfile.mkdtemp(prefix="nodeport-vms-"))
    for name in ("Vagrantfile", "examples/web-app.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / "harness").symlink_to(ROOT / "harness")
    nodes = [{"name": f"n{number + 1}", "address": f"192.168.56.{first + number}", "memory": 384, "cpus": 1,
              "box": f"nodeport/{release}"} for number, release in enumerate(releases)]  # fmt: skip
    (folder / "inventories/vagrant").mkdir(parents=True)
    (folder / "inventories/vagrant/nodes.yml").write_text(yaml.safe_dump({"nodes": nodes}))
    machines = Machines(folder)
    try:
        yield machines
    finally:
        machines.well("--driver", "vagrant", "down")
        shutil.rmtree(folder, ignore_errors=True)
        if started:
            _ours("host", "stop")


def need_programs() -> None:
    """In CI a missing tool is a failure, elsewhere the tests are skipped."""
    if shutil.which("vagrant") is None or shutil.which("qemu-system-x86_64") is None:
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say("virtual machines need vagrant and QEMU: make vm-packages")


def need_boxes(*releases: str) -> None:
    """The boxes of these releases, built when they are not there."""
    need_programs()
    _ours("box", *releases)


def _ours(*words: str) -> None:
    done = process.run([sys.executable, "-m", "harness.drivers.vagrant", *words], cwd=ROOT, timeout=900)
    assert done.ok, done.err
