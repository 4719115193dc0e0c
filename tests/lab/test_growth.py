"""Nodes come and go in the user's inventory: what stays is not touched, and every state proves itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab.foreign import WEB_APP, Foreign
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

ALIVE = r"""
systemctl show --property=Id,InvocationID 'nodeport-pod@*' nodeportd.service | paste -sd ' \n' |
  grep InvocationID=. | sort
cat /sys/class/net/cni0/ifindex; ls /sys/class/net/cni0/brif
"""
ROUTES = "ip route show proto 77 | grep -c ' via '"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with with_nodes(tmp_path_factory.mktemp("growth")) as lab:
        yield Foreign(lab.cluster(), tmp_path_factory.mktemp("user"))


def proven(foreign: Foreign, names: str) -> Path:
    """An inventory of only these machines, on which a run has passed."""
    source = foreign.inventory()
    known = yaml.safe_load(source.read_text())
    known["nodes"]["hosts"] = {name: known["nodes"]["hosts"][name] for name in names}
    source.write_text(yaml.safe_dump(known))
    done = foreign.harness("run", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err
    return source


@pytest.mark.long
def test_a_node_is_added_removed_and_replaced(foreign: Foreign) -> None:
    proven(foreign, "ab")
    before = {name: foreign.on(name, ALIVE) for name in "ab"}
    assert "nodeport-pod@" in before["a"]

    source = proven(foreign, "abc")
    assert {name: foreign.on(name, ALIVE) for name in "ab"} == before, "a node that comes disturbs no other one"
    assert [foreign.on(name, ROUTES).strip() for name in "abc"] == ["2", "2", "2"]

    drained = foreign.harness("drain", "b", inventory=source)
    assert drained.code == 0, drained.out + drained.err
    assert "nodeport-pod@" not in foreign.on("b", ALIVE)
    done = foreign.play("reset.yml", "--limit", "b", inventory=source)
    assert done.ok, done.out
    kept = foreign.on("a", ALIVE)
    assert set(before["a"].split()) <= set(kept.split()), "what ran on another node runs on"
    proven(foreign, "ac")
    assert foreign.on("a", ALIVE) == kept
    assert [foreign.on(name, ROUTES).strip() for name in "ac"] == ["1", "1"]

    source = proven(foreign, "abc")
    kept = foreign.on("a", ALIVE)
    done = foreign.play("reset.yml", "--limit", "c", inventory=source)  # as a new machine in the place of the old one
    assert done.ok, done.out
    proven(foreign, "abc")
    assert foreign.on("a", ALIVE) == kept
