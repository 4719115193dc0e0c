"""In which order the pods of one owner give way to others: successive waves. Pure.

In a wave some pods start; when all of them serve, some others leave. The rules are those of the Deployment controller
(pkg/controller/deployment/util, ``ResolveFenceposts``): never more than *replicas + maxSurge* pods that are not on
their way out, never fewer than *replicas - maxUnavailable* that serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.model.plan import PlannedPod
from harness.model.workload import Strategy, StrategyType


@dataclass(frozen=True, slots=True)
class Wave:
    """Pods that start, and pods that leave once those serve."""

    start: tuple[PlannedPod, ...] = ()
    leave: tuple[PlannedPod, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """The pods of one owner: how many stay, which go and which come, in the order in which they do."""

    stay: int
    old: tuple[PlannedPod, ...]
    new: tuple[PlannedPod, ...]

    @property
    def replicas(self) -> int:
        """How many there shall be in the end."""
        return self.stay + len(self.new)

    @property
    def other_template(self) -> bool:
        """Whether pods of one template give way to those of another; else they are only more, fewer, or elsewhere."""
        return bool(self.old) and bool({pod.revision for pod in self.new} - {pod.revision for pod in self.old})


def fence_posts(strategy: Strategy, replicas: int) -> tuple[int, int]:
    """``maxSurge`` (rounded up) and ``maxUnavailable`` (rounded down) in pods; never both 0."""
    surge = _pods(strategy.max_surge, replicas, up=True)
    unavailable = _pods(strategy.max_unavailable, replicas, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _pods(share: str, replicas: int, *, up: bool) -> int:
    if not share.endswith("%"):
        return int(share)
    hundredths = int(share[:-1]) * replicas
    return -(-hundredths // 100) if up else hundredths // 100


def of_change(change: Change, strategy: Strategy) -> tuple[Wave, ...]:
    """The waves that lead from the old pods to the new ones.

    Pods that are only replaced or moved, of the same template, are so all at once: the new ones start first.
    """
    if not change.other_template:
        return tuple(_rolling(change, len(change.old), 0))
    if strategy.type is StrategyType.RECREATE:
        return Wave(leave=change.old), Wave(), Wave(start=change.new)
    return tuple(_rolling(change, *fence_posts(strategy, change.replicas)))


def at_once(change: Change) -> tuple[Wave, ...]:
    """All old pods leave, and then all new ones start: for pods of which nobody knows how they are."""
    return Wave(leave=change.old), Wave(start=change.new)


def _rolling(change: Change, surge: int, unavailable: int) -> Iterator[Wave]:
    old, new = list(change.old), list(change.new)
    serving = change.stay + len(old)
    while old or new:
        room = max(0, change.replicas + surge - serving)
        start = _that_may_start(new, old)[:room]
        serving += len(start)
        spare = max(0, serving - (change.replicas - unavailable))
        leave = old[:spare]
        if not start and not leave:  # who comes waits for the name or the address of one who goes
            leave = old[:1]
        serving -= len(leave)
        old = [pod for pod in old if pod not in leave]
        new = [pod for pod in new if pod not in start]
        yield Wave(tuple(start), tuple(leave))


def _that_may_start(new: Sequence[PlannedPod], old: Sequence[PlannedPod]) -> list[PlannedPod]:
    """Those that have neither name nor address of one that still runs."""
    names, addresses = {pod.key for pod in old}, {pod.address for pod in old}
    return [pod for pod in new if pod.key not in names and pod.address not in addresses]
