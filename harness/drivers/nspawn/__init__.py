"""Nodes as systemd-nspawn system containers: real systemd, sshd and nftables, three of them in about two seconds.

Each node is an overlay over one shared Debian root, with a network namespace of its own that a bridge in the
*fabric* namespace joins to the others and to the outside client. What a node is made of lives in
``/var/lib/nodeport-harness/labs/<id>/``; its mount lives in its own mount namespace alone, its processes in a
control group of its own.
"""

from harness.drivers.nspawn.driver import NspawnDriver

__all__ = ["NspawnDriver"]
