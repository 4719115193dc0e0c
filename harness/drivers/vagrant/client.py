"""The outside client of virtual machines: its IPv6 address on their private network."""

from __future__ import annotations

from harness.errors import DriverError
from harness.model.cluster import Cluster
from harness.support import process


def join(cluster: Cluster) -> None:
    """Give the outside client its IPv6 address on the bridge of the machines, where that is in a namespace of ours.

    Raises :class:`DriverError` when it has none and the bridge is not ours to change.
    """
    if not cluster.client_address6:
        return
    within = ["nsenter", f"--net={cluster.client_netns}"] if cluster.client_netns else []
    if process.run([*within, "ip", "-6", "-o", "address", "show", "to", cluster.client_address6]).out.strip():
        return
    links = process.run([*within, "ip", "-o", "-4", "address", "show", "to", "192.168.56.1/32"]).out.split()
    if cluster.client_netns is None or len(links) < 2:
        raise DriverError(
            f"this machine has no address {cluster.client_address6} on the network of the machines",
            hint=f"`ip address add {cluster.client_address6}/64 dev BRIDGE`, the bridge of 192.168.56.1",
        )
    bridge = links[1]  # libvirt turns IPv6 off on bridges for which it was told no address of it
    process.check([*within, "sysctl", "-qw", f"net.ipv6.conf.{bridge}.disable_ipv6=0"], what="turning IPv6 on")
    own = ["ip", "address", "replace", f"{cluster.client_address6}/64", "dev", bridge, "nodad"]
    process.check([*within, *own], what="giving the outside client its IPv6 address")
