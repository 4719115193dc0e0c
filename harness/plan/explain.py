"""Why a Service has no endpoint, in a person's words: what matches nothing, what comes close, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from harness.model.plan import PlannedPort
from harness.model.workload import Service, ServiceType
from harness.plan.ports import key
from harness.plan.selection import PodIndex
from harness.plan.wanted import WantedPod
from harness.plan.words import Pair, declared, first_few, label, line, listed, some, template, titles

MANY_WORDS = 50
"""How many words are compared in full when the nearest is looked for."""


def explain(
    service: Service,
    ports: Sequence[PlannedPort],
    selected: Sequence[WantedPod],
    index: PodIndex,
    asleep: PodIndex,
) -> str:
    """Why at least one port has no endpoint and what follows from it; empty when every port has one.

    ``asleep`` has one pod for each Deployment and ReplicaSet with ``replicas: 0``: what they would run.
    """
    without = [port for port in ports if not port.endpoints]
    if not without:
        return ""
    if not service.selector:
        reasons = [f"Service {key(service)} has no selector, so no pod becomes its endpoint",
                   "add a selector, or an EndpointSlice that names it"]  # fmt: skip
    elif selected:
        reasons = [reason for port in without for reason in _no_such_port(port, selected)]
    else:
        reasons = _no_such_pod(service, index, asleep)
    return "; ".join([*reasons, *_consequence(service, ports)])


def _consequence(service: Service, ports: Sequence[PlannedPort]) -> list[str]:
    if service.type is not ServiceType.NODE_PORT:
        return []
    open_numbers = {port.node_port for port in ports if port.endpoints}
    shut = sorted(
        # TCP and UDP may share a number, and only one of the two be refused
        f"{port.node_port}/{port.protocol}" if port.node_port in open_numbers else f"{port.node_port}"
        for port in ports
        if not port.endpoints
    )
    shut = list(dict.fromkeys(shut))
    if len(shut) == 1:
        return [f"its nodePort {shut[0]} is refused on every node"]
    return [f"its nodePorts {listed(shut)} are refused on every node"]


def _no_such_port(port: PlannedPort, selected: Sequence[WantedPod]) -> list[str]:
    """The selector finds pods, but the name of the targetPort is nobody's."""
    name = str(port.target_port)
    theirs = [known for pod in selected for known in pod.spec.ports]
    match = "matches" if len(selected) == 1 else "match"
    missing = f"no container has a {port.protocol} port named `{name}`"
    reasons = [
        f"{some(len(selected), 'pod')} {match} the selector, but {missing}",
        f"declared: {declared(theirs)}" if theirs else "no port is declared at all",
    ]
    names = sorted({known.name for known in theirs if known.name and known.protocol is port.protocol})
    close = _nearest(name, names)
    if close:
        reasons.append(f"perhaps `targetPort: {close[0]}` is meant")
    else:
        reasons.append(f"name a container port `{name}` in {template(selected)} or write its number as targetPort")
    return reasons


def _no_such_pod(service: Service, index: PodIndex, asleep: PodIndex) -> list[str]:
    pairs = sorted(service.selector.items())
    hints = _asleep(service, asleep) + _elsewhere(service, index)
    hints = hints or _partly(service, pairs, index) or _misspelt(service, pairs, index)
    return [_nobody(service, pairs, index), *(hints or _known_labels(service, index))]


def _nobody(service: Service, pairs: Sequence[Pair], index: PodIndex) -> str:
    """The first half: which part of the selector matches no pod."""
    if service.namespace not in index.namespaces:
        return f"there is no pod in namespace {service.namespace}"
    where = "no pod" if index.namespaces == [service.namespace] else f"no pod in namespace {service.namespace}"
    nowhere = [pair for pair in pairs if not index.carriers(service.namespace, *pair)]
    if nowhere:
        return f"{where} carries {listed(map(label, nowhere), 'or')}"
    return f"{where} carries {listed(map(label, pairs))} together"


def _asleep(service: Service, asleep: PodIndex) -> list[str]:
    """Deployments that would match if they had pods."""
    found = titles(asleep.select(service.namespace, service.selector))
    have = "has" if len(found) == 1 else "have"
    return [f"{first_few(found)} would match but {have} `replicas: 0`; set replicas to 1 or more"] if found else []


def _elsewhere(service: Service, index: PodIndex) -> list[str]:
    """Pods of other namespaces that would match."""
    hints = []
    for namespace in index.namespaces:
        found = index.select(namespace, service.selector) if namespace != service.namespace else []
        if found:
            hints.append(
                f"{some(len(found), 'pod')} in namespace {namespace} would match, for example {found[0].name}, but a "
                f"Service finds pods of its own namespace only; put Service {key(service)} into namespace {namespace}"
            )
    return hints


def _partly(service: Service, pairs: Sequence[Pair], index: PodIndex) -> list[str]:
    """Pods that carry a part of the selector: those that carry the most of it."""
    carried: Counter[str] = Counter()
    pods: dict[str, WantedPod] = {}
    for pair in pairs:
        for pod in index.carriers(service.namespace, *pair):
            carried[pod.key] += 1
            pods[pod.key] = pod
    if not carried:
        return []
    most = max(carried.values())
    nearest = [pods[each] for each in sorted(carried) if carried[each] == most]
    lacking = _lacking(nearest[0], pairs)
    alike = [pod for pod in nearest if _lacking(pod, pairs) == lacking]
    has = [pair for pair in pairs if pair not in lacking]
    return [
        (
            f"{some(len(alike), 'pod')} match{'es' if len(alike) == 1 else ''} the rest "
            f"({', '.join(map(label, has))}), for example {alike[0].name}"
        ),
        *_instead(alike[0], lacking),
        _remedy(service, alike, lacking),
    ]


def _lacking(pod: WantedPod, pairs: Sequence[Pair]) -> list[Pair]:
    return [(name, value) for name, value in pairs if pod.labels.get(name) != value]


def _instead(pod: WantedPod, lacking: Sequence[Pair]) -> list[str]:
    """What a pod carries under the same labels."""
    other = [(name, pod.labels[name]) for name, _ in lacking if name in pod.labels]
    return [f"it carries {listed(map(label, other))} instead"] if other else []


def _remedy(service: Service, pods: Sequence[WantedPod], lacking: Sequence[Pair]) -> str:
    clash = any(name in pods[0].labels for name, _ in lacking)
    verb = "change" if clash else "remove"
    add = "use" if clash else "add"
    those = "that label" if len(lacking) == 1 else "those labels"
    return (
        f"{verb} {listed(map(line, lacking))} {'in' if clash else 'from'} the selector of Service {key(service)} "
        f"or {add} {those} {'in' if clash else 'to'} {template(pods)}"
    )


def _misspelt(service: Service, pairs: Sequence[Pair], index: PodIndex) -> list[str]:
    """Labels in use that look like those of the selector: another value, or another key."""
    hints = []
    for name, value in pairs:
        close = _nearest(value, index.values(service.namespace, name))
        near = [(name, each) for each in close]
        near += [
            (each, value)
            for each in get_close_matches(name, index.labels(service.namespace), n=3)
            if index.carriers(service.namespace, each, value)
        ]
        for pair in near[:1]:
            found = index.carriers(service.namespace, *pair)
            carry = "carries" if len(found) == 1 else "carry"
            hints.append(
                f"{some(len(found), 'pod')} {carry} {label(pair)}, for example {found[0].name}: "
                f"perhaps {line(pair)} is meant"
            )
    return hints


def _nearest(word: str, known: Sequence[str]) -> list[str]:
    """The known word most like this one, if any is.

    Of very many, only some that begin or end alike are compared: a slip of one sign leaves one half as it was, and
    a lab of thousands of Services is explained in seconds.
    """
    if len(known) > MANY_WORDS:
        half = max(1, len(word) // 2)
        known = [each for each in known if each.startswith(word[:half]) or each.endswith(word[-half:])][:MANY_WORDS]
    return get_close_matches(word, known, n=1)


def _known_labels(service: Service, index: PodIndex) -> list[str]:
    """Nothing comes close: what there is to choose from."""
    space = service.namespace
    known = [label((name, value)) for name in index.labels(space) for value in index.values(space, name)]
    if known:
        return [f"the pods there carry {first_few(known)}"]
    return ["the pods there carry no label"] if space in index.namespaces else ["add a pod that carries these labels"]
