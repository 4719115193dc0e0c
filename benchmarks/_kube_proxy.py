"""The layout of kube-proxy's nftables mode: a faithful imitation of chains, sets and verdicts, to measure beside."""

from __future__ import annotations

import re
from collections.abc import Sequence


def endpoint(name: str, address: str) -> str:
    """The chain of one endpoint, on port 80."""
    return (
        f"chain {name} {{\nip saddr {address} jump mark-for-masquerade\n"
        f"meta l4proto tcp dnat to {address}:80\n}}\n"
    )  # fmt: skip


def pick(names: Sequence[str]) -> str:
    """The rule of a Service that takes one of its endpoints' chains."""
    return (
        f"numgen random mod {len(names)} vmap {{ {', '.join(f'{i} : goto {name}' for i, name in enumerate(names))} }}"
    )


def table(pods: Sequence[Sequence[str]], nodes: Sequence[str], first_port: int) -> str:
    """The whole table: ``pods`` holds the endpoints by Service; nodePorts count up, at these addresses of the node."""
    chains = []
    for number, addresses in enumerate(pods):
        names = [f"endpoint-{number}-{index}" for index in range(len(addresses))]
        chains += [endpoint(name, address) for name, address in zip(names, addresses, strict=True)]
        chains.append(f"chain service-{number} {{\n{pick(names)}\n}}\n")
        chains.append(f"chain external-{number} {{\njump mark-for-masquerade\ngoto service-{number}\n}}\n")
    cluster = ", ".join(
        f"10.96.{number // 250}.{1 + number % 250} . tcp . 80 : goto service-{number}" for number in range(len(pods))
    )
    ports = ", ".join(f"tcp . {first_port + number} : goto external-{number}" for number in range(len(pods)))
    filled = {"CHAINS": "".join(chains), "CLUSTER": cluster, "PORTS": ports, "NODES": ", ".join(nodes)}
    return re.sub("|".join(filled), lambda found: filled[found[0]], _TABLE)


_TABLE = """\
table ip kube-proxy {
chain mark-for-masquerade {
meta mark set meta mark or 0x4000
}
chain masquerading {
meta mark and 0x4000 == 0 return
meta mark set meta mark xor 0x4000
masquerade fully-random
}
CHAINSset nodeport-ips {
type ipv4_addr
elements = { NODES }
}
map service-ips {
type ipv4_addr . inet_proto . inet_service : verdict
elements = { CLUSTER }
}
map service-nodeports {
type inet_proto . inet_service : verdict
elements = { PORTS }
}
map no-endpoint-nodeports {
type inet_proto . inet_service : verdict
}
chain services {
ip daddr . meta l4proto . th dport vmap @service-ips
ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
}
chain nodeport-endpoints-check {
ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
}
chain filter-input {
type filter hook input priority -110; policy accept;
ct state new jump nodeport-endpoints-check
}
chain nat-prerouting {
type nat hook prerouting priority -100; policy accept;
jump services
}
chain nat-output {
type nat hook output priority -100; policy accept;
jump services
}
chain nat-postrouting {
type nat hook postrouting priority 100; policy accept;
jump masquerading
}
}
"""

FILTERS = """
table ip kube-proxy {
chain endpoints-check {
ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
}
map firewall-ips {
type ipv4_addr . inet_proto . inet_service : verdict
}
chain firewall-check {
ip daddr . meta l4proto . th dport vmap @firewall-ips
}
chain filter-prerouting {
type filter hook prerouting priority -110; policy accept;
ct state new jump firewall-check
}
chain filter-forward {
type filter hook forward priority -110; policy accept;
ct state new jump endpoints-check
}
chain filter-output {
type filter hook output priority -110; policy accept;
ct state new jump endpoints-check
ct state new jump firewall-check
}
}
"""
"""The other filter chains that kube-proxy always has; without them the layout is faster than the real one."""
