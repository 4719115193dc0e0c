"""Three virtual machines for all tests of this folder, made in the background while other tests run.

They take some 200 s of one core each, most of it before the first test here. So everything that makes them runs with
the least claim to the CPU (nice 19) from the end of the collection on: other tests hardly notice, and it is mostly done
when these tests' turn comes, at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from harness.support import process

ROOT = Path(__file__).parents[2]
_SECONDS = 1500
_STEPS = (
    "{ virsh -c qemu:///system version || $PYTHON -m harness.drivers.vagrant host start; }",
    "$PYTHON -m harness.drivers.vagrant box bookworm",
    "$PYTHON -m harness --driver vagrant up",
    "$PYTHON -m harness --driver vagrant apply -f web-app.yaml",
)


@dataclass(frozen=True)
class Machines:
    """Machines of a folder of their own: a user's own machines are in another one, with other addresses."""

    folder: Path
    making: process.Process[bytes]

    @property
    def said(self) -> str:
        """What was said while they were made and converged."""
        return (self.folder / "making.log").read_text(encoding="utf-8", errors="replace")

    def harness(self, *words: str, seconds: float = 900) -> process.Completed:
        """A verb of the harness about these machines."""
        return process.run([sys.executable, "-m", "harness", *words], cwd=self.folder, timeout=seconds)

    def ssh(self, node: str, command: str) -> process.Completed:
        """A command on one of them."""
        config = self.folder / ".harness/default/ssh_config"
        return process.run(["ssh", "-F", config, node, command], timeout=60)


_MACHINES = pytest.StashKey[Machines]()


def pytest_collection_finish(session: pytest.Session) -> None:
    chosen = any(item.path.is_relative_to(Path(__file__).parent) for item in session.items)
    if chosen and not session.config.option.collectonly and shutil.which("vagrant"):
        folder = _folder()
        with (folder / "making.log").open("wb") as log:
            making = process.start(["nice", "-n", "19", "sh", "-c", " && ".join(_STEPS)], cwd=folder, stdout=log,
                                   stderr=process.STDOUT, env={**os.environ, "PYTHON": sys.executable})  # fmt: skip
        session.config.stash[_MACHINES] = Machines(folder, making)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nodeport-vms-"))
    shutil.copy(ROOT / "Vagrantfile", folder)
    shutil.copy(ROOT / "examples/web-app.yaml", folder)
    (folder / "harness").symlink_to(ROOT / "harness")
    nodes = [{"name": f"n{number}", "address": f"192.168.56.{100 + number}", "memory": 384, "cpus": 1,
              "box": "nodeport/bookworm"} for number in (1, 2, 3)]  # fmt: skip
    (folder / "inventories/vagrant").mkdir(parents=True)
    (folder / "inventories/vagrant/nodes.yml").write_text(yaml.safe_dump({"nodes": nodes}))
    return folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """No machine outlives the tests, however they ended."""
    machines = config.stash.get(_MACHINES, None)
    if machines is None:
        return
    if machines.making.poll() is None:
        os.killpg(machines.making.pid, signal.SIGINT)  # the harness then has Vagrant clear away
        with contextlib.suppress(process.TimeoutExpired):
            machines.making.wait(200)
    process.end_group(machines.making)
    down = machines.harness("--driver", "vagrant", "down")
    if not down.ok:
        sys.stderr.write(f"machines are left, see {machines.folder}:\n{down.err}")
        return
    process.run([sys.executable, "-m", "harness.drivers.vagrant", "host", "stop"], cwd=ROOT)
    shutil.rmtree(machines.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest) -> Machines:
    """Three machines, converged with the example."""
    made = request.config.stash.get(_MACHINES, None)
    if made is None:
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say("vagrant is not installed: make vm-packages")
    code = made.making.wait(_SECONDS)
    assert code == 0, made.said
    return made
