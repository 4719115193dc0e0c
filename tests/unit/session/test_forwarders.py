"""Which forwarder a node runs: the nearest word counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import UsageError
from harness.model.cluster import Node
from harness.session.forwarders import choose

NODES = (Node("n1", "192.168.56.11"), Node("n2", "192.168.56.12"))


@pytest.mark.parametrize(
    ("line", "inventory", "settled", "expected"),
    [
        pytest.param((), "", (), "- -", id="nobody asks for one"),
        pytest.param((), "", ("n1=socat",), "socat -", id="settings"),
        pytest.param((), "socat", ("nftables",), "socat nftables", id="inventory before settings"),
        pytest.param(("nftables",), "socat", (), "nftables nftables", id="command line before inventory"),
        pytest.param(("socat", "n2=nftables"), "", (), "socat nftables", id="a node before all nodes"),
    ],
)
def test_the_nearest_word_counts(
    line: tuple[str, ...], inventory: str, settled: tuple[str, ...], expected: str
) -> None:
    nodes = (replace(NODES[0], forwarder=inventory), NODES[1])
    assert [node.forwarder or "-" for node in choose(nodes, line, settled)] == expected.split()


@pytest.mark.parametrize(
    ("line", "inventory", "says"),
    [
        (("ipvs",), "", "--forwarder: there is no forwarder 'ipvs'"),
        (("n9=socat",), "", "--forwarder: there is no node n9"),
        ((), "haproxy", "nodeport_forwarder of n1: there is no forwarder 'haproxy'"),
    ],
)
def test_a_forwarder_or_node_that_does_not_exist(line: tuple[str, ...], inventory: str, says: str) -> None:
    nodes = (replace(NODES[0], forwarder=inventory), NODES[1])
    with pytest.raises(UsageError, match=says):
        choose(nodes, line, ())
