"""State (what is wanted) × readiness (what answers) → where each Service port leads now. Pure.

The rules are KEP-1669's and those of kube-proxy's CategorizeEndpoints: ready endpoints; when there are none, those
that end but still serve. A policy ``Local`` keeps to endpoints of this node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from nodeportd import checks, families
from nodeportd.state import Endpoint, Port, Service, State, difference

FEW = 100
"""So many forwards are compared with each other; more by their hashes."""

Target = tuple[str, int]
"""The address and port of an endpoint."""


@dataclass(frozen=True, slots=True)
class Forward:
    """One Service port as this node serves it now.

    ``everywhere`` are the endpoints of the whole cluster, ``here`` those on this node (empty unless a policy is
    ``Local``); ``node_port`` is 0 when there is none. ``own`` are the addresses, whatever their readiness, at which
    there may be a pod of this node.
    """

    service: Service
    protocol: str
    port: int
    node_port: int
    everywhere: tuple[Target, ...]
    here: tuple[Target, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def external(self) -> tuple[Target, ...]:
        """Where nodePort and external addresses lead clients from outside."""
        return self.here if self.service.external_local else self.everywhere

    @property
    def internal(self) -> tuple[Target, ...]:
        """Where the Service's own addresses lead."""
        return self.here if self.service.internal_local else self.everywhere


@dataclass(frozen=True, slots=True)
class Effective:
    """What a backend brings into force: the forwards of each Service, by its key.

    One that was made from another says by whose ``mark`` it is ``after``, and which Services it ``touched``: all others
    are the very same, so that :func:`changed` need not look at them.
    ``six`` is the same of IPv6, if the node has such an address; all else is of IPv4 then.
    """

    node: str
    addresses: tuple[str, ...]
    cluster_ranges: tuple[str, ...]
    services: Mapping[str, tuple[Forward, ...]]
    mark: object = field(default_factory=object, compare=False, repr=False)
    after: object = field(default=None, compare=False, repr=False)
    touched: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    six: Effective | None = None

    @property
    def forwards(self) -> Iterator[Forward]:
        """All of them, in the order of Services and their ports."""
        return (forward for forwards in self.services.values() for forward in forwards)


NOTHING = Effective("", (), (), {})


def effective(state: State, unready: Collection[str] = ()) -> Effective:
    """What shall be in force while the pods in ``unready`` are not ready, by the keys of their checks."""
    four, six = families.split(state)
    return _effective(four, unready, _effective(six, checks.of_ipv6(unready)) if six is not None else None)


def _effective(state: State, unready: Collection[str], six: Effective | None = None) -> Effective:
    services = {service.key: tuple(forwards_of(service, state.node, unready)) for service in state.services}
    return Effective(state.node, state.addresses, state.cluster_ranges, services, six=six)


def changed(old: Effective, new: Effective) -> tuple[list[Forward], list[Forward]]:
    """The forwards that go and those that come."""
    was, now = old.services, new.services
    keys: Iterable[str] = sorted(new.touched) if new.after is old.mark else {**was, **now}
    differ = [key for key in keys if was.get(key) is not now.get(key)]
    gone = [each for key in differ for each in was.get(key, ())]
    come = [each for key in differ for each in now.get(key, ())]
    stays = [each for each in gone if each in come] if len(gone) + len(come) < FEW else set(gone) & set(come)
    return [each for each in gone if each not in stays], [each for each in come if each not in stays]


def same(old: Effective, new: Effective) -> bool:
    """Whether everything leads where it led, in both families."""
    if changed(old, new) != ([], []) or (old.six is None) != (new.six is None):
        return False
    return old.six is None or new.six is None or changed(old.six, new.six) == ([], [])


def forwards_of(service: Service, node: str, unready: Collection[str]) -> Iterable[Forward]:
    """What one Service comes to, a value for each of its ports."""
    local = service.external_local or service.internal_local
    for port in service.ports:
        everywhere = _serving(port, unready)
        here = tuple(each for each in port.endpoints if each.node == node) if local else ()
        near = _serving(Port(port.name, port.protocol, port.port, port.node_port, here), unready) if here else ()
        own = tuple(each.address for each in port.endpoints if each.node in ("", node))
        yield Forward(service, port.protocol, port.port, port.node_port, everywhere, near, own)


def _serving(port: Port, unready: Collection[str]) -> tuple[Target, ...]:
    able = [endpoint for endpoint in port.endpoints if endpoint.always or endpoint.pod not in unready]
    return _targets(each for each in able if not each.terminating) or _targets(able)


def _targets(endpoints: Iterable[Endpoint]) -> tuple[Target, ...]:
    return tuple((endpoint.address, endpoint.port) for endpoint in endpoints)


class Current:
    """Where everything leads now, followed from change to change: only what a change touches is thought through."""

    def __init__(self) -> None:
        self._dual = False
        self._start_anew()

    def _start_anew(self) -> None:
        self._services: tuple[Service, ...] = ()
        self._four, self._six = _Current(), _Current()

    def bring(self, state: State, unready: Collection[str] = ()) -> Effective:
        """The same as :func:`effective`; tuples of what stays as it was are those of before."""
        dual = families.is_dual(state)
        if dual != self._dual:
            self._start_anew()
        gone, come = difference(self._services, state)
        self._dual, self._services = dual, state.services
        left = [service.key for service in gone]
        if not dual:
            return self._four.bring(state, left, come, unready)
        cut = [families.halves(service) for service in come]
        four, six = (families.of_family(state, belongs, ()) for belongs in (families.is_ipv4, families.is_ipv6))
        found = self._six.bring(six, left, [half for _, _, half in cut if half], checks.of_ipv6(unready))
        return replace(self._four.bring(four, left, [half for _, half, _ in cut if half], unready), six=found)


class _Current:
    """The same of one family."""

    def __init__(self) -> None:
        self._node = ""
        self._unready: frozenset[str] = frozenset()
        self._forwards: dict[str, tuple[Forward, ...]] = {}
        self._of_pod: dict[str, set[str]] = {}
        self._by_key: dict[str, Service] = {}
        self._mark: object = None

    def bring(self, node: State, left: Iterable[str], come: Iterable[Service], unready: Collection[str]) -> Effective:
        """Where everything leads once Services have ``left`` and others come; of the state, all else is looked at."""
        unready = frozenset(unready)
        touched = {key for pod in unready ^ self._unready for key in self._of_pod.get(pod, ())}
        touched |= self._other_services(left, come)
        if node.node != self._node:
            touched |= self._by_key.keys()
        self._unready, self._node = unready, node.node
        forwards = dict(self._forwards)
        for key in touched:
            if key in self._by_key:
                forwards[key] = tuple(forwards_of(self._by_key[key], node.node, unready))
            else:
                forwards.pop(key, None)
        self._forwards = forwards
        before, self._mark = self._mark, object()
        return Effective(
            node.node, node.addresses, node.cluster_ranges, forwards, self._mark, before, frozenset(touched)
        )

    def _other_services(self, left: Iterable[str], come: Iterable[Service]) -> set[str]:
        """Take note of other Services; those that have to be thought through, and those that are no more."""
        gone = [key for key in left if key in self._by_key]
        for key in gone:
            for pod in _pods(self._by_key.pop(key)):
                self._of_pod[pod].discard(key)
        for service in come:
            self._by_key[service.key] = service
            for pod in _pods(service):
                self._of_pod.setdefault(pod, set()).add(service.key)
        return {*gone, *(service.key for service in come)}


def _pods(service: Service) -> set[str]:
    return {endpoint.pod for port in service.ports for endpoint in port.endpoints}
