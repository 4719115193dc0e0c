"""A state as nftables text: the whole table, and the transaction from one state to the next. Pure.

The layout has a constant number of rules; everything else is map elements, because anonymous sets and rules are
what makes loading slow (one Service more or less is a few elements, whatever the number of Services):

    services       protocol . nodePort              → the chain that picks among so many endpoints
    endpoints-<k>  protocol . nodePort . 0…k-1      → address . port
    pick-<k>       dnat by ``numgen random mod k``, once for each new connection

No packet mark is used: marks belong to whoever owns the machine. Masquerading asks conntrack for the address and
port that the client meant, so only connections that this table translated are touched. It is plain ``masquerade``:
``fully-random`` reuses source ports that the pod still holds in TIME_WAIT.
"""

from dataclasses import dataclass, field

TABLE = "ip nodeport"


@dataclass(frozen=True)
class Contents:
    """The elements of every set and map, by name; a set's elements map to an empty text."""

    elements: dict = field(default_factory=dict)
    sizes: frozenset = frozenset()


def contents(state):
    """What the sets and maps hold for a state."""
    elements = {"node-addresses": dict.fromkeys(state.addresses, ""), "services": {}, "refused": {}}
    elements.update({"forwarded-tcp": {}, "forwarded-udp": {}})
    sizes = frozenset(len(port.endpoints) for port in state.ports if port.endpoints)
    elements.update({f"endpoints-{size}": {} for size in sizes})
    for port in state.ports:
        key, size = f"{port.protocol} . {port.node_port}", len(port.endpoints)
        if not size:
            elements["refused"][key] = ""
            continue
        elements["services"][key] = f"goto pick-{size}"
        elements[f"forwarded-{port.protocol}"][str(port.node_port)] = ""
        for index, (address, target) in enumerate(port.endpoints):
            elements[f"endpoints-{size}"][f"{key} . {index}"] = f"{address} . {target}"
    return Contents(elements, sizes)


def full(state):
    """Text that replaces the table, whole, in one transaction; conntrack keeps established connections going."""
    wanted = contents(state)
    lines = [f"add table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *_SETS]
    for size in sorted(wanted.sizes):
        lines += _pick(size)
    lines += [*_CHAINS, "}"]
    for name, values in sorted(wanted.elements.items()):
        lines += _change("add", name, values)
    return "\n".join(lines) + "\n"


def transaction(old, new):
    """Text that leads from one state to another, naming only what differs; empty when nothing does."""
    before, after = contents(old), contents(new)
    lines = []
    for size in sorted(after.sizes - before.sizes):
        lines += [f"table {TABLE} {{", *_pick(size), "}"]
    for name in sorted(before.elements.keys() | after.elements.keys()):
        was, shall = before.elements.get(name, {}), after.elements.get(name, {})
        gone = {key: "" for key, value in was.items() if shall.get(key) != value}
        come = {key: value for key, value in shall.items() if was.get(key) != value}
        if name in after.elements or name == "services":
            lines += _change("delete", name, gone)
        lines += _change("add", name, come)
    for size in sorted(before.sizes - after.sizes):
        lines += [f"delete chain {TABLE} pick-{size}", f"delete map {TABLE} endpoints-{size}"]
    return "\n".join(lines) + "\n" if lines else ""


def _change(verb, name, values):
    if not values:
        return []
    shown = ", ".join(f"{key} : {value}" if value else key for key, value in sorted(values.items()))
    return [f"{verb} element {TABLE} {name} {{ {shown} }}"]


def _pick(size):
    number = f"numgen random mod {size}"
    return [
        f"  map endpoints-{size} {{",
        f"    typeof meta l4proto . th dport . {number} : ip daddr . th dport",
        "  }",
        f"  chain pick-{size} {{",
        f"    meta l4proto {{ tcp, udp }} dnat ip to meta l4proto . th dport . {number} map @endpoints-{size}",
        "  }",
    ]


_SETS = (
    "  set node-addresses {",
    "    type ipv4_addr",
    "  }",
    "  set forwarded-tcp {",
    "    type inet_service",
    "  }",
    "  set forwarded-udp {",
    "    type inet_service",
    "  }",
    "  set refused {",
    "    type inet_proto . inet_service",
    "  }",
    "  map services {",
    "    type inet_proto . inet_service : verdict",
    "  }",
)
_CHAINS = (
    "  chain prerouting {",
    "    type nat hook prerouting priority dstnat; policy accept;",
    "    ip daddr @node-addresses meta l4proto . th dport vmap @services",
    "  }",
    "  chain output {",
    "    type nat hook output priority -100; policy accept;",
    "    ip daddr @node-addresses meta l4proto . th dport vmap @services",
    "  }",
    "  chain postrouting {",
    "    type nat hook postrouting priority srcnat; policy accept;",
    "    meta l4proto tcp ct status dnat ct original ip daddr @node-addresses ct original proto-dst @forwarded-tcp masquerade",
    "    meta l4proto udp ct status dnat ct original ip daddr @node-addresses ct original proto-dst @forwarded-udp masquerade",
    "  }",
    "  chain input {",
    "    type filter hook input priority -110; policy accept;",
    "    ip daddr @node-addresses meta l4proto tcp meta l4proto . th dport @refused reject with tcp reset",
    "    ip daddr @node-addresses meta l4proto . th dport @refused reject with icmp port-unreachable",
    "  }",
)
