"""What is wanted as nftables text: the whole table, and the transactions from one to the next. Pure.

The layout has a constant number of rules; everything else is map elements, because anonymous sets and rules are
what makes loading slow (one Service more or less is a few elements, whatever the number of Services):

    services       protocol . nodePort              → the chain that picks among so many endpoints
    endpoints-<k>  protocol . nodePort . 0…k-1      → address . port
    pick-<k>       dnat by ``numgen random mod k``, once for each new connection
    forwarded-…    nodePorts whose connections are masqueraded
    refused        nodePorts without endpoints

No packet mark is used: marks belong to whoever owns the machine. Masquerading asks conntrack for the address and
port that the client meant, so only connections that this table translated are touched. It is plain ``masquerade``:
``fully-random`` reuses source ports that the pod still holds in TIME_WAIT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeportd.endpoints import Effective, Forward

TABLE = "ip nodeport"

Elements = dict[str, dict[str, str]]
"""The elements of every set and map, by name; an element of a set has an empty value."""


_LOOKED_UP_LATER = ("endpoints-", "forwarded-")
"""The maps and sets that a packet comes to by way of ``services``."""


def full(wanted: Effective) -> str:
    """Text that replaces the table, whole, in one transaction; conntrack keeps established connections going."""
    lines = [f"add table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *_SETS]
    for size in sorted(_sizes(wanted)):
        lines += _pick(size)
    lines += [*_CHAINS, "}"]
    for name, values in _elements(wanted.addresses, wanted.forwards).items():
        lines += _statement("add", name, values)
    return _text(lines)


def nothing() -> str:
    """Text that removes the table, also when there is none."""
    return f"add table {TABLE}\ndelete table {TABLE}\n"


def steps(old: Effective, new: Effective) -> tuple[str, ...]:
    """What leads from one state to another, naming only what differs: at most three transactions, in this order.

    The first makes what nothing leads to yet, the second switches over, the third removes what nothing leads to
    any more. While a transaction is committed, a packet may see one lookup before it and the next after it; so
    no connection is lost only if every way that it can take leads somewhere. In one transaction, one new
    connection was refused in about a thousand changes of the number of endpoints under load.
    """
    gone, come = set(old.forwards) - set(new.forwards), set(new.forwards) - set(old.forwards)
    before = _elements(old.addresses, (port for port in old.forwards if port in gone))
    after = _elements(new.addresses, (port for port in new.forwards if port in come))
    had, has = _sizes(old), _sizes(new)
    prepare = [line for size in sorted(has - had) for line in (f"table {TABLE} {{", *_pick(size), "}")]
    switch: list[str] = []
    sweep: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        was, shall = before.get(name, {}), after.get(name, {})
        leave = dict.fromkeys(was.keys() - shall.keys(), "")
        enter = {key: value for key, value in shall.items() if key not in was}
        altered = {key: value for key, value in shall.items() if key in was and was[key] != value}
        later = name.startswith(_LOOKED_UP_LATER)
        (prepare if later else switch).extend(_statement("add", name, enter))
        (sweep if later else switch).extend(_statement("delete", name, leave))
        switch += _statement("delete", name, dict.fromkeys(altered, ""))
        switch += _statement("add", name, altered)
    for size in sorted(had - has):
        sweep += [f"delete chain {TABLE} pick-{size}", f"delete map {TABLE} endpoints-{size}"]
    return tuple(_text(lines) for lines in (prepare, switch, sweep) if lines)


def transaction(old: Effective, new: Effective) -> str:
    """The same in one transaction; empty when nothing differs."""
    return "".join(steps(old, new))


def _sizes(wanted: Effective) -> set[int]:
    """The numbers of endpoints that occur; each has a chain and a map."""
    return {len(port.everywhere) for port in wanted.forwards if port.node_port and port.everywhere}


def _elements(addresses: Iterable[str], ports: Iterable[Forward]) -> Elements:
    elements: Elements = {"node-addresses": dict.fromkeys(addresses, "")}
    for port in ports:
        if not port.node_port:
            continue
        key, size = f"{port.protocol} . {port.node_port}", len(port.everywhere)
        if not size:
            elements.setdefault("refused", {})[key] = ""
            continue
        elements.setdefault("services", {})[key] = f"goto pick-{size}"
        elements.setdefault(f"forwarded-{port.protocol}", {})[str(port.node_port)] = ""
        picks = elements.setdefault(f"endpoints-{size}", {})
        for index, (address, target) in enumerate(port.everywhere):
            picks[f"{key} . {index}"] = f"{address} . {target}"
    return elements


def _statement(verb: str, name: str, values: Mapping[str, str]) -> list[str]:
    if not values:
        return []
    shown = ", ".join(f"{key} : {value}" if value else key for key, value in sorted(values.items()))
    return [f"{verb} element {TABLE} {name} {{ {shown} }}"]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _pick(size: int) -> list[str]:
    key = f"meta l4proto . th dport . numgen random mod {size}"
    return [
        f"  map endpoints-{size} {{",
        f"    typeof {key} : ip daddr . th dport",
        "  }",
        f"  chain pick-{size} {{",
        f"    dnat ip to {key} map @endpoints-{size}",
        "  }",
    ]


_SETS = """\
  set node-addresses {
    type ipv4_addr
  }
  set forwarded-tcp {
    type inet_service
  }
  set forwarded-udp {
    type inet_service
  }
  set refused {
    type inet_proto . inet_service
  }
  map services {
    type inet_proto . inet_service : verdict
  }""".splitlines()

# The chain input comes before the usual filters (priority 0), so that "refused" is said whatever they allow.
# It looks at new connections alone: what a process of the node had open before goes on. The node's own attempts are
# refused on their way out: refused on their way in they would have an entry in conntrack by then, without translation,
# and one from the same source port would still be refused for 10 s after the Service got its first endpoint.
_CHAINS = """\
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    ip daddr @node-addresses meta l4proto . th dport vmap @services
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr @node-addresses meta l4proto . th dport vmap @services
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ct status dnat ct original ip daddr @node-addresses meta l4proto tcp ct original proto-dst @forwarded-tcp masquerade
    ct status dnat ct original ip daddr @node-addresses meta l4proto udp ct original proto-dst @forwarded-udp masquerade
  }
  chain input {
    type filter hook input priority -110; policy accept;
    ct state new ip daddr @node-addresses meta l4proto . tcp dport @refused reject with tcp reset
    ct state new ip daddr @node-addresses meta l4proto . udp dport @refused reject with icmp port-unreachable
  }
  chain own {
    type filter hook output priority -110; policy accept;
    ct state new ip daddr @node-addresses meta l4proto . tcp dport @refused reject with tcp reset
    ct state new ip daddr @node-addresses meta l4proto . udp dport @refused reject with icmp port-unreachable
  }""".splitlines()
