"""The kernel's table of tracked connections: one question to a node's shell, and how the answer is read (pure)."""

from __future__ import annotations

from harness.model.observation import Connections

_PROGRAM = """\
cd /proc/sys/net/netfilter 2>/dev/null && echo "$(cat nf_conntrack_count) $(cat nf_conntrack_max)"
cat /proc/net/stat/nf_conntrack 2>/dev/null || :
"""
QUESTION = ("sh", "-c", _PROGRAM)
"""The words of a command. A node that tracks nothing answers nothing."""

_LOST = ("drop", "early_drop")
"""Columns of ``/proc/net/stat/nf_conntrack`` (net/netfilter/nf_conntrack_standalone.c): a hexadecimal row a CPU."""


def read(answer: str) -> Connections:
    """What a node answered."""
    rows = [line.split() for line in answer.splitlines()]
    if not rows or len(rows[0]) != 2:
        return Connections()
    count, room = map(int, rows[0])
    names, cpus = (rows[1], rows[2:]) if len(rows) > 1 else ([], [])
    if not set(_LOST) <= set(names):
        return Connections(count, room)
    places = [names.index(name) for name in _LOST]
    return Connections(count, room, sum(int(cpu[place], 16) for cpu in cpus for place in places))
