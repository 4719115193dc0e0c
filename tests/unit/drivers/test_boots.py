"""Whether nodes booted anew, with a program called ``ssh`` that answers as nodes do that boot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.drivers import Console, boots
from harness.errors import DriverError
from harness.model.cluster import Cluster, Node

NODES = (Node("n1", "192.168.56.11"), Node("n2", "192.168.56.12"))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Nodes of which each answers what the file of its name has; ``ssh`` to one that has none hangs."""
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\nfor word; do case $word in n?) node=$word ;; esac; done\n"
        f"cd {tmp_path} && [ ! -e $node.busy ] || {{ rm $node.busy; exec sleep 20; }}\n"
        "cat $node 2>/dev/null || exit 255\n"
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(boots, "_LOOK_SECONDS", 0.5)
    return Cluster("lab", "u1", "vagrant", NODES, tmp_path / "inventory.yml", tmp_path / "ssh_config")


def test_a_look_that_takes_too_long_is_no_answer_and_the_next_one_counts(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "n1").write_text("second boot\n")
    (tmp_path / "n1.busy").touch()
    boots.until_anew(cluster, {"n1": "first boot"}, within=20)
    assert not (tmp_path / "n1.busy").exists()


def test_what_certainly_does_not_boot_is_not_waited_for_once_the_others_have(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "n1").write_text("second boot\n")
    console = Console(tmp_path / "log", ("before", "Kernel panic"), "Kernel panic")
    with pytest.raises(DriverError, match=r"^n2 does not boot: Kernel panic\nconsole of n2 \(.*\):\n  before\n"):
        boots.until_anew(cluster, {"n1": "first boot", "n2": "first boot"}, 600, lambda _node: console)


def test_what_may_still_boot_is_waited_for_and_its_console_shown_then(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "n1").write_text("first boot\n")
    with pytest.raises(
        DriverError, match=r"(?s)n1: it has not gone down; n2: no answer to SSH.*console of n2 .*: nothing"
    ):
        boots.until_anew(
            cluster, {"n1": "first boot", "n2": "first boot"}, 0.5, lambda _node: Console(tmp_path / "log")
        )
