"""The sets, maps and chains of the table: those that are always there, and those for a number of endpoints. Pure."""

from __future__ import annotations

TABLE = "ip nodeport"
MOST_CLIENTS = 262144
"""Clients that are remembered at once; beyond that new ones get any endpoint, as without affinity."""

_PLACE = "ip daddr . meta l4proto . th dport"
_MEANT = "ct original ip daddr . meta l4proto . ct original proto-dst"
_TRANSLATED = "ct status dnat meta l4proto { tcp, udp }"
_ORDER = ("pick", "near", "stick", "stay", "remember")
_PICKS = {"pick": "endpoints", "near": "local"}


def order(name: str) -> tuple[int, int]:
    """Sorts chains so that each comes after those that it goes to."""
    kind, _, number = name.partition("-")
    return _ORDER.index(kind), int(number)


def chain(name: str) -> list[str]:
    """The chain of that name, with its map if it has one."""
    kind, _, number = name.partition("-")
    if kind in _PICKS:
        return _pick(name, f"{_PICKS[kind]}-{number}", number)
    if kind == "remember":
        update = f"update @clients {{ ip saddr . {_MEANT} timeout {number}s : ip daddr . th dport }}"
        return [f"  chain {name} {{", *(f"    meta l4proto {each} {update}" for each in ("tcp", "udp")), "  }"]
    away = "pick" if kind == "stick" else "near"
    return [
        f"  chain {name} {{",
        f"    dnat ip to ip saddr . {_PLACE} map @clients",
        f"    goto {away}-{number}",
        "  }",
    ]


def without(name: str) -> list[str]:
    """The statements that remove what :func:`chain` makes."""
    kind, _, number = name.partition("-")
    lines = [f"delete chain {TABLE} {name}"]
    return [*lines, f"delete map {TABLE} {_PICKS[kind]}-{number}"] if kind in _PICKS else lines


def _pick(name: str, ends: str, number: str) -> list[str]:
    key = f"{_PLACE} . numgen random mod {number}"
    return [
        f"  map {ends} {{",
        f"    typeof {key} : ip daddr . th dport",
        "  }",
        f"  chain {name} {{",
        f"    dnat ip to {key} map @{ends}",
        "  }",
    ]


SETS = f"""\
  set pods {{
    type ipv4_addr
    flags interval
  }}
  set refused {{
    type ipv4_addr . inet_proto . inet_service
  }}
  set restricted {{
    type ipv4_addr . inet_proto . inet_service
  }}
  set allowed {{
    type ipv4_addr . inet_proto . inet_service . ipv4_addr
    flags interval
  }}
  map clients {{
    type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    size {MOST_CLIENTS}
    flags dynamic,timeout
  }}
  map services {{
    type ipv4_addr . inet_proto . inet_service : verdict
  }}
  map outside {{
    type ipv4_addr . inet_proto . inet_service : verdict
  }}
  set hidden {{
    type ipv4_addr . inet_proto . inet_service
  }}
  set hidden-own {{
    type ipv4_addr . inet_proto . inet_service
  }}
  set hidden-outsiders {{
    type ipv4_addr . inet_proto . inet_service
  }}
  map remembered {{
    type ipv4_addr . inet_proto . inet_service : verdict
  }}
  chain hide-outsiders {{
    iifname "cni0" ip saddr @pods oifname != "cni0" return
    masquerade
  }}
  chain hide-own {{
    iifname "cni0" ip saddr @pods oifname != "cni0" return
    ip saddr @pods masquerade
    fib saddr type local masquerade
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmp port-unreachable
  }}""".splitlines()

# A pod that is translated to a pod of its own node, itself included, is hidden whatever the policy: the answer would
# go over the bridge, past the translation.
#
# The chains input and forward come before the usual filters (priority 0), so that "refused" is said whatever they
# allow. They look at new connections alone: what a process of the node had open before goes on. The node's own attempts
# are refused on their way out: refused on their way in they would have an entry in conntrack by then, without
# translation, and one from the same source port would still be refused for 10 s after the Service got an endpoint.
CHAINS = f"""\
  chain guard {{
    type filter hook prerouting priority -110; policy accept;
    ct state new {_PLACE} @restricted {_PLACE} . ip saddr != @allowed drop
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    ip saddr != @pods {_PLACE} vmap @outside
    {_PLACE} vmap @services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    {_PLACE} vmap @services
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    {_TRANSLATED} {_MEANT} vmap @remembered
    {_TRANSLATED} {_MEANT} @hidden masquerade
    {_TRANSLATED} {_MEANT} @hidden-outsiders goto hide-outsiders
    {_TRANSLATED} {_MEANT} @hidden-own goto hide-own
  }}
  chain input {{
    type filter hook input priority -110; policy accept;
    ct state new {_PLACE} @refused goto refuse
  }}
  chain forward {{
    type filter hook forward priority -110; policy accept;
    ct state new {_PLACE} @refused goto refuse
  }}
  chain own {{
    type filter hook output priority -110; policy accept;
    ct state new {_PLACE} @refused goto refuse
  }}""".splitlines()
