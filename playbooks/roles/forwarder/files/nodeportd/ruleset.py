"""What is wanted as nftables text: the whole table, and the transactions from one to the next. Pure.

The layout has a constant number of rules; everything else is map elements, because anonymous sets and rules are
what makes loading slow (one Service more or less is a few elements, whatever the number of Services). A *place* is
``address . protocol . port``, as a client means it: a nodePort on this node, or a Service's own or external address.

    services       place               → the chain that picks among so many endpoints, or ``drop``
    outside        place               → the same for clients from outside, where a policy is Local
    endpoints-<k>  place . 0…k-1       → address . port; local-<k> those of this node
    pick-<k>       dnat by ``numgen random mod k``, once for each new connection; near-<k> by local-<k>
    stick-<k>      dnat to where the client was before, else pick-<k>; stay-<k> the same with near-<k>
    clients        client . place      → address . port; forgotten when no new connection comes for a while
    remembered     place               → the chain that writes or renews ``clients``
    hidden         places whose clients are always hidden from the pod; hidden-own, hidden-outsiders: some of them
    refused        places without endpoints
    restricted     places with an allow list; allowed  place . network

Verdict maps are few: when an element with ``goto`` or ``jump`` is added, the kernel walks through every one of them.

No packet mark is used: marks belong to whoever owns the machine. Masquerading asks conntrack for the place that the
client meant, so only connections that this table translated are touched. It is plain ``masquerade``: ``fully-random``
reuses source ports that the pod still holds in TIME_WAIT.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from nodeportd import chains
from nodeportd.endpoints import Effective, Forward, Target, changed

TABLE = chains.TABLE

Elements = dict[str, dict[str, str]]
"""The elements of every set and map, by name; an element of a set has an empty value."""

_LOOKED_UP_LATER = ("endpoints-", "local-", "hidden", "remembered")
"""The sets and maps that a packet comes to by way of ``services`` or ``outside``."""


def full(wanted: Effective) -> str:
    """Text that replaces the table, whole, in one transaction; conntrack keeps established connections going."""
    lines = [f"add table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *chains.SETS]
    for name in sorted(uses(wanted), key=chains.order):
        lines += chains.chain(name)
    lines += [*chains.CHAINS, "}"]
    for name, values in _elements(wanted, wanted.forwards).items():
        lines += _statement("add", name, values)
    return _text(lines)


def nothing() -> str:
    """Text that removes the table, also when there is none."""
    return f"add table {TABLE}\ndelete table {TABLE}\n"


def uses(wanted: Effective) -> Counter[str]:
    """How many forwards need each chain that is not always there."""
    return _uses(wanted.forwards)


def steps(
    old: Effective,
    new: Effective,
    used: Counter[str] | None = None,
    differing: tuple[list[Forward], list[Forward]] | None = None,
) -> tuple[str, ...]:
    """What leads from one state to another, naming only what differs: at most three transactions, in this order.

    The first makes what nothing leads to yet, the second switches over, the third removes what nothing leads to
    any more. While a transaction is committed, a packet may see one lookup before it and the next after it; so
    no connection is lost only if every way that it can take leads somewhere. In one transaction, one new
    connection was refused in about a thousand changes of the number of endpoints under load.

    ``used`` is what :func:`uses` says of ``old``, and is brought to what it says of ``new``;
    ``differing`` what :func:`nodeportd.endpoints.changed` says of both.
    """
    used = uses(old) if used is None else used
    gone, come = changed(old, new) if differing is None else differing
    if old.addresses != new.addresses:  # every nodePort is at other places
        gone, come = list(old.forwards), list(new.forwards)
    before, after = _elements(old, gone), _elements(new, come)
    had = {name for name in used if used[name] > 0}
    used.subtract(_uses(gone))
    used.update(_uses(come))
    has = {name for name in had | _uses(come).keys() if used[name] > 0}
    fresh, stale = sorted(has - had, key=chains.order), sorted(had - has, key=chains.order, reverse=True)
    prepare = [line for name in fresh for line in (f"table {TABLE} {{", *chains.chain(name), "}")]
    switch: list[str] = []
    sweep: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        was, shall = before.get(name, {}), after.get(name, {})
        leave = dict.fromkeys(was.keys() - shall.keys(), "")
        enter = {key: value for key, value in shall.items() if key not in was}
        altered = {key: value for key, value in shall.items() if key in was and was[key] != value}
        later = name.startswith(_LOOKED_UP_LATER)
        (sweep if later else switch).extend(_statement("delete", name, leave))
        (prepare if later else switch).extend(_statement("add", name, enter))
        switch += _statement("delete", name, dict.fromkeys(altered, ""))
        switch += _statement("add", name, altered)
    sweep += [line for name in stale for line in chains.without(name)]
    return tuple(_text(lines) for lines in (prepare, switch, sweep) if lines)


def transaction(old: Effective, new: Effective) -> str:
    """The same in one transaction; empty when nothing differs."""
    return "".join(steps(old, new))


def _uses(forwards: Iterable[Forward]) -> Counter[str]:
    found: Counter[str] = Counter()
    for forward in forwards:
        kinds = {("pick", len(forward.everywhere)), ("near", len(forward.here))}
        if forward.service.affinity_seconds:
            kinds |= {("stick", len(forward.everywhere)), ("stay", len(forward.here))}
            found[f"remember-{forward.service.affinity_seconds}"] += 1
        found.update(f"{kind}-{size}" for kind, size in kinds if size)
    return found


def _elements(wanted: Effective, forwards: Iterable[Forward]) -> Elements:
    elements: Elements = {"pods": dict.fromkeys(wanted.cluster_ranges, "")}
    for forward in forwards:
        for place in _external_places(forward, wanted.addresses):
            _external(elements, forward, place)
        for address in forward.service.cluster_addresses:
            _internal(elements, forward, f"{address} . {forward.protocol} . {forward.port}")
        if forward.node_port and forward.service.allowed_sources:
            for address in wanted.addresses:
                place = f"{address} . {forward.protocol} . {forward.node_port}"
                _put(elements, "restricted", place)
                for network in forward.service.allowed_sources:
                    _put(elements, "allowed", f"{place} . {network}")
    return {name: values for name, values in elements.items() if values}


def _external_places(forward: Forward, addresses: Iterable[str]) -> Iterator[str]:
    if forward.node_port:
        yield from (f"{address} . {forward.protocol} . {forward.node_port}" for address in addresses)
    for address in forward.service.external_addresses:
        yield f"{address} . {forward.protocol} . {forward.port}"


def _external(elements: Elements, forward: Forward, place: str) -> None:
    """A nodePort or an external address: from pods and the node itself always to all endpoints, as kube-proxy does."""
    if not forward.everywhere:
        _put(elements, "refused", place)
        return
    local = forward.service.external_local
    _lead(elements, "services", place, forward, forward.everywhere, "everywhere")
    _put(elements, "hidden-own" if local else "hidden", place)
    if local:
        _lead(elements, "outside", place, forward, forward.here, "here")


def _internal(elements: Elements, forward: Forward, place: str) -> None:
    """A Service's own address."""
    if not forward.everywhere:
        _put(elements, "refused", place)
        return
    local = forward.service.internal_local
    _lead(elements, "services", place, forward, forward.internal, "here" if local else "everywhere")
    _put(elements, "hidden-outsiders", place)


_WAYS = {("everywhere", False): "pick", ("everywhere", True): "stick", ("here", False): "near", ("here", True): "stay"}
_MAPS = {"everywhere": "endpoints", "here": "local"}


def _lead(elements: Elements, name: str, place: str, forward: Forward, targets: tuple[Target, ...], which: str) -> None:
    """Have a place lead to these targets; without any, packets vanish, as a load balancer's checks expect."""
    seconds = forward.service.affinity_seconds
    size = len(targets)
    _put(elements, name, place, f"goto {_WAYS[which, seconds > 0]}-{size}" if size else "drop")
    for index, (address, port) in enumerate(targets):
        _put(elements, f"{_MAPS[which]}-{size}", f"{place} . {index}", f"{address} . {port}")
    if seconds and size:
        _put(elements, "remembered", place, f"jump remember-{seconds}")


def _put(elements: Elements, name: str, key: str, value: str = "") -> None:
    elements.setdefault(name, {})[key] = value


def _statement(verb: str, name: str, values: Mapping[str, str]) -> list[str]:
    if not values:
        return []
    shown = ", ".join(f"{key} : {value}" if value else key for key, value in sorted(values.items()))
    return [f"{verb} element {TABLE} {name} {{ {shown} }}"]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
