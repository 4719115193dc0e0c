"""What is wanted as nftables text: the whole table, and the transactions from one to the next. Pure.

The layout has a constant number of rules; everything else is map elements, because anonymous sets and rules are
what makes loading slow (one Service more or less is a few elements, whatever the number of Services). A *place* is
``address . protocol . port``, as a client means it: a nodePort on this node, or a Service's own or external address.

    services       place               → the number of a way
    ways           number              → the chain that picks among so many endpoints, ``refuse`` or ``drop``
    endpoints-<k>  place . 0:1…0:k     → address . port; local-<k> those of this node
    pick-<k>       dnat by a number drawn for each new connection; near-<k> by local-<k>
    stick-<k>      dnat to where the client was before, else pick-<k>; stay-<k> the same with near-<k>
    part-<k>-<n>   near-<n> for clients from outside, pick-<k> for pods and the node; hold-<k>-<n> stay and stick
    guard          drops clients that an allow list leaves out; there only while there is an allow list
    clients        client . place      → address . port; forgotten when no new connection comes for a while
    sticky-<s>     places whose clients are remembered for so many seconds; the chain remember does it
    hidden         places whose clients are always hidden from the pod; hidden-own, hidden-outsiders: some of them
    own            address . address of each endpoint that may be a pod of this node: a pod that is sent to itself
    restricted     places with an allow list; allowed  place . network

There is one verdict map, and it is small: when an element with ``goto`` is added, the kernel walks through all of them.

No packet mark is used: marks belong to whoever owns the machine. Masquerading asks conntrack for the place that the
client meant, so only connections that this table translated are touched. It is plain ``masquerade``: ``fully-random``
reuses source ports that the pod still holds in TIME_WAIT.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nodeportd import chains
from nodeportd.elements import Change
from nodeportd.endpoints import Effective, Forward, changed
from nodeportd.listing import Listing
from nodeportd.places import Elements, Uses, elements_of, pairs, uses

TABLE = chains.TABLE

_LOOKED_UP_LATER = ("ways", "endpoints-", "local-", "hidden", "own", "sticky-")
"""The sets and maps that a packet comes to by way of ``services``."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done in this order: sets, chains and rules as text, elements in one transaction, text again."""

    first: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    last: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it as nftables text."""
        between = [
            _statement(each.verb, each.name, each.values)
            for each in self.changes
            if each.values or each.verb == "flush"
        ]
        return _text([*self.first, *between, *self.last])

    def __bool__(self) -> bool:
        return bool(self.first or self.changes or self.last)


def full(wanted: Effective) -> str:
    """Text that makes the table anew, whole, in one transaction; conntrack keeps established connections going."""
    used = uses(wanted)
    lines = [f"add table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    made = chains.blocks(_chains(used.frame), _durations(used.frame))
    lines += [line for block in made for line in block.written()]
    elements = _everything(wanted, used)
    return _text([*lines, "}", *(_statement("add", name, elements[name]) for name in elements)])


def replacement(wanted: Effective, found: Listing) -> Step | None:
    """What makes the table right whose listing without elements was found, whatever is wrong with it.

    Sets and base chains stay those that they are, so that a packet that is within them now loses nothing: the maps of
    a table that is deleted are empty for whoever looks into them next. ``None`` if a set is of another kind than
    wanted, which nothing can alter.
    """
    used = uses(wanted)
    blocks = chains.blocks(_chains(used.frame), _durations(used.frame))
    held = [block for block in blocks if block.kind != "chain"]
    if any(set(found.get(block.title, block.head)) != set(block.head) for block in held):
        return None
    missing = [block._replace(rules=()) for block in blocks if block.title not in found]
    first = [f"table {TABLE} {{", *(line for block in missing for line in block.written()), "}"]
    ruled = [block for block in blocks if block.kind == "chain" and block.name != "remember"]
    first += [f"flush chain {TABLE} {block.name}" for block in ruled]
    first += [f"add rule {TABLE} {block.name} {rule}" for block in ruled for rule in block.rules]
    first += _remembering(_durations(used.frame))
    elements = _everything(wanted, used)
    changes = [
        change
        for block in held
        if block.name != "clients"
        for change in (Change("flush", block.name, {}), Change("add", block.name, elements.get(block.name, {})))
    ]
    ours = {block.title for block in blocks}
    return Step(tuple(first), tuple(changes), tuple(_without(title for title in found if title not in ours)))


def _without(titles: Iterable[str]) -> list[str]:
    """Statements that remove what nothing of ours uses, however it hangs together."""
    foreign = sorted(title.split() for title in titles if title.startswith(("set ", "map ", "chain ")))
    return [f"{verb} {kind} {TABLE} {name}" for verb in ("flush", "delete") for kind, name in reversed(foreign)]


def _everything(wanted: Effective, used: Uses) -> Elements:
    own = {"own": pairs(used.own)} if used.own else {}
    return {"ways": chains.WAYS | _ways(_chains(used.frame)), **elements_of(wanted, wanted.forwards), **own}


def nothing() -> str:
    """Text that removes the table, also when there is none."""
    return f"add table {TABLE}\ndelete table {TABLE}\n"


def steps(
    old: Effective,
    new: Effective,
    used: Uses | None = None,
    differing: tuple[list[Forward], list[Forward]] | None = None,
) -> tuple[Step, ...]:
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
    before, after = elements_of(old, gone), elements_of(new, come)
    had = +used.frame
    before["own"], after["own"] = used.turn(gone, come)
    has = +used.frame
    come_first, go_last = _frame(had, has)
    prepare: list[Change] = []
    switch: list[Change] = []
    sweep: list[Change] = []
    before["ways"], after["ways"] = _ways(_chains(had)), _ways(_chains(has))
    for name in sorted(before.keys() | after.keys()):
        was, shall = before.get(name, {}), after.get(name, {})
        leave = dict.fromkeys(was.keys() - shall.keys(), "")
        enter = {key: value for key, value in shall.items() if key not in was}
        altered = {key: value for key, value in shall.items() if key in was and was[key] != value}
        later = name.startswith(_LOOKED_UP_LATER)
        (sweep if later else switch).append(Change("delete", name, leave))
        (prepare if later else switch).append(Change("add", name, enter))
        switch.append(Change("delete", name, dict.fromkeys(altered, "")))
        switch.append(Change("add", name, altered))
    made = (_step(come_first, prepare), _step((), switch), _step((), sweep, go_last))
    return tuple(step for step in made if step)


def _step(first: Iterable[str], changes: Iterable[Change], last: Iterable[str] = ()) -> Step:
    return Step(tuple(first), tuple(change for change in changes if change.values), tuple(last))


def _frame(had: Counter[str], has: Counter[str]) -> tuple[list[str], list[str]]:
    """Statements that make the chains that are needed now, and those that remove what is needed no more."""
    fresh = [name for name in _chains(has) if name not in had]
    stale = [name for name in reversed(_chains(had)) if name not in has]
    come = [line for name in fresh for block in chains.chain(name) for line in _made(block)]
    gone = [line for name in stale for line in chains.without(name)]
    before, now = set(_durations(had)), set(_durations(has))
    come += [line for seconds in sorted(now - before) for line in _made(chains.sticky(seconds))]
    come += _remembering(before | now) if now - before else []
    gone += _remembering(now) if before - now else []
    gone += [f"delete set {TABLE} sticky-{seconds}" for seconds in sorted(before - now)]
    return come, gone


def _made(block: chains.Block) -> list[str]:
    return [f"table {TABLE} {{", *block.written(), "}"]


def _remembering(durations: Iterable[int]) -> list[str]:
    rules = [f"add rule {TABLE} remember {rule}" for rule in chains.remembering(sorted(durations))]
    return [f"flush chain {TABLE} remember", *rules]


def _chains(used: Counter[str]) -> list[str]:
    return sorted((name for name in used if not name.startswith("remember-")), key=chains.order)


def _durations(used: Counter[str]) -> list[int]:
    return sorted(int(name.partition("-")[2]) for name in used if name.startswith("remember-"))


def _ways(names: Iterable[str]) -> dict[str, str]:
    return {way: f"goto {name}" for name in names if (way := chains.way(name))}


def transaction(old: Effective, new: Effective) -> str:
    """The same in one transaction; empty when nothing differs."""
    return "".join(step.text for step in steps(old, new))


def _statement(verb: str, name: str, values: Mapping[str, str]) -> str:
    if verb == "flush":
        return f"flush set {TABLE} {name}"
    shown = ", ".join(f"{key} : {value}" if value else key for key, value in sorted(values.items()))
    return f"{verb} element {TABLE} {name} {{ {shown} }}"


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
