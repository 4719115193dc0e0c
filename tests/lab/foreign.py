"""Nodes of a lab used as if they were somebody's machines: reached through an inventory and SSH alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.model.cluster import Cluster
from harness.session import remote
from harness.session.lab import Lab
from harness.support import process

ROOT = Path(__file__).parents[2]
WEB_APP = str(ROOT / "examples" / "web-app.yaml")
NAMES = "abcdefgh"


@dataclass(frozen=True, slots=True)
class Foreign:
    """Machines ``a``, ``b`` … and a user's folder with an inventory of them."""

    machines: Cluster
    folder: Path

    def inventory(self, more: Mapping[str, Mapping[str, object]] | None = None, **everywhere: object) -> Path:
        """An inventory of all machines, with ``more`` variables (or hosts), and variables for every host."""
        hosts: dict[str, dict[str, object]] = {
            name: {"ansible_host": node.address, **({"nodeport_address6": node.address6} if node.address6 else {})}
            for name, node in zip(NAMES, self.machines.nodes, strict=False)
        }
        for name, variables in (more or {}).items():
            hosts.setdefault(name, {}).update(variables)
        known = {
            "ansible_ssh_common_args": f"-F {self.machines.ssh_config}",
            "nodeport_client_netns": str(self.machines.client_netns),
            "nodeport_client_address": self.machines.client_address,
            **({"nodeport_client_address6": self.machines.client_address6} if self.machines.client_address6 else {}),
            **everywhere,
        }
        file = self.folder / "hosts.yml"
        file.write_text(yaml.safe_dump({"nodes": {"hosts": hosts, "vars": known}}))
        return file

    def lab(self, inventory: Path) -> Lab:
        """The user's lab."""
        return Lab.at(self.folder, "default", "static", inventory)

    def on(self, name: str, script: str, *, timeout: float = 30) -> str:
        """What a shell script prints on a machine; it has to succeed. As root, by the lab's own way in."""
        done = self.tried(name, script, timeout=timeout)
        assert done.ok, f"{name}: {script}: {done.err}"
        return done.out

    def tried(self, name: str, script: str, *, timeout: float = 30) -> process.Completed:
        """The same, whether it succeeds or not."""
        node = self.machines.nodes[NAMES.index(name)].name
        return remote.run(self.machines, node, ["sh", "-euc", script], timeout=timeout)

    def harness(self, *words: str | Path, inventory: Path) -> process.Completed:
        """The command ``harness``, as a user calls it in this folder."""
        program = Path(sys.executable).with_name("harness")
        return process.run([program, "-i", inventory, *words], cwd=self.folder, timeout=300)

    def play(self, playbook: str, *options: str | Path, inventory: Path) -> process.Completed:
        """A playbook by hand, with nothing but the user's inventory."""
        program = Path(sys.executable).with_name("ansible-playbook")
        # Connections that are kept go by address, and the nodes of other labs have the same ones.
        environment = {**os.environ, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp")}
        return process.run(
            [program, "-i", inventory, ROOT / "playbooks" / playbook, *options],
            cwd=self.folder,
            timeout=300,
            env=environment,
        )
