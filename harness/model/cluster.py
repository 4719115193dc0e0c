"""The nodes, however they came to be: the one thing every driver hands over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Node:
    """A machine: its inventory name, the IPv4 address that serves nodePorts, and what it runs.

    ``forwarder`` is the one that its inventory asks for, empty when it leaves that open. ``other_addresses`` are its
    further IPv4 addresses with their networks (``10.0.0.5/24``), as far as they are known. ``nodeport_addresses`` says
    which of all these serve nodePorts, in kube-proxy's words: ``primary``, ``all``, networks; none is ``primary``.
    ``pod_network`` is how pods of several nodes shall meet (see :class:`harness.model.plan.Plan`), empty when open.
    ``address6`` is the IPv6 address that serves nodePorts besides, empty when it has none.
    """

    name: str
    address: str
    release: str = ""
    forwarder: str = ""
    other_addresses: tuple[str, ...] = ()
    nodeport_addresses: tuple[str, ...] = ()
    pod_network: str = ""
    address6: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A machine that was asked for and cannot be used, and why: the lab goes on without it, and says so."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """The nodes of one lab and the two files by which everything reaches them.

    ``inventory`` is an Ansible inventory of literal values, ``ssh_config`` an OpenSSH configuration with one
    ``Host`` for each node name. ``client_netns`` is the network namespace in which the outside client lives,
    ``None`` when that is the namespace of this process; ``client_address`` is the address it comes from,
    ``client_address6`` its IPv6 one, empty when they are not known; ``client_range`` a network of which every
    address is the client's, so that it can be many clients (empty: there is none), ``client_range6`` one of IPv6.
    ``uid`` is drawn anew whenever nodes are made, so that a pod left over from an earlier lab can be told from
    ours. ``missing`` are machines that are not among ``nodes`` because they cannot be used now; whatever is proven
    of the others, a run with one of them is no passing run. ``become_passwords`` are those of sudo there, by node;
    that of the empty name is for all others. ``emulated``: the processors of the nodes are imitated by a program,
    so that all they do takes some ten times as long.
    """

    lab: str
    uid: str
    driver: str
    nodes: tuple[Node, ...]
    inventory: Path
    ssh_config: Path
    client_netns: Path | None = None
    client_address: str = ""
    client_range: str = ""
    client_address6: str = ""
    client_range6: str = ""
    missing: tuple[Missing, ...] = ()
    become_passwords: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    emulated: bool = False
