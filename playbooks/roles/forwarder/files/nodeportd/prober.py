"""All checks of this node: which pods are ready, and when the next one is asked."""

from __future__ import annotations

import heapq
import selectors
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from nodeportd.checks import Check
from nodeportd.health import Answer, Record, answered, first, known
from nodeportd.probing import Attempt

TICK = 0.05
"""Seconds: attempts that are due this close together are begun together, which spares waking up for each."""
LONGEST = 60.0


def now() -> float:
    """Seconds since this machine was started, as in /proc/uptime."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Prober:
    """What this node knows of the pods, by the keys of their checks.

    The selector is shared: what of its events is not an :class:`Attempt` is none of ours. ``changes`` grows whenever
    a pod became ready or not, or is not ready for another reason.
    """

    def __init__(self, selector: selectors.BaseSelector, clock: Callable[[], float] = now) -> None:
        self._selector, self._clock = selector, clock
        self.records: dict[str, Record] = {}
        self._followed: Iterable[Check] = ()
        self.changes = 0
        self._attempts: dict[str, Attempt] = {}
        self._due: list[tuple[float, str]] = []

    def follow(self, checks: Iterable[Check], before: Mapping[str, Record]) -> None:
        """Make these checks from now on; ``before`` is what is known of pods that are not followed yet."""
        if checks is self._followed:
            return
        self._followed = checks
        wanted = {check.key: check for check in checks}
        for pod in [pod for pod in self.records if pod not in wanted]:
            del self.records[pod]
            self.changes += 1
            self._give_up(pod)
        for pod, check in wanted.items():
            same = self.records.get(pod)
            if same is not None and same.check == check:
                continue
            self._give_up(pod)
            # At another address it is another pod, whatever its name.
            past = same if same and same.check.address == check.address else None if same else before.get(pod)
            self._note(known(check, self._clock(), past) if past else first(check, self._clock()))

    def _give_up(self, pod: str) -> None:
        attempt = self._attempts.pop(pod, None)
        if attempt is not None:
            attempt.drop()

    def _note(self, record: Record) -> None:
        before = self.records.get(record.check.key)
        self.changes += before is None or _told(before) != _told(record)
        self.records[record.check.key] = record
        heapq.heappush(self._due, (record.due, record.check.key))

    @property
    def unready(self) -> frozenset[str]:
        """Pods that are not ready, by the keys of their checks."""
        return frozenset(pod for pod, record in self.records.items() if not record.ready)

    def unasked(self, soon: float) -> bool:
        """Whether a pod that may be asked before ``soon`` has not answered for the first time."""
        return any(each.coming and not each.run and each.due < soon for each in self.records.values())

    def patience(self) -> float:
        """Seconds until there is something to do; not negative."""
        ends = [attempt.deadline for attempt in self._attempts.values()]
        time_is = self._clock()
        nearest = min([*ends, self._due[0][0]] if self._due else ends, default=time_is + LONGEST)
        return min(LONGEST, nearest - time_is + TICK) if nearest > time_is else 0.0

    def turn(self, patience: float) -> list[object]:
        """Wait that long at most and see to all that happened; returns the data of events that are not ours.

        What answered is heard before anything is given up: this program may have been held up itself.
        """
        others = []
        for key, _ in self._selector.select(patience):
            if isinstance(key.data, Attempt):
                self._count(key.data, key.data.go_on())
            else:
                others.append(key.data)
        time_is = self._clock()
        for attempt in [each for each in self._attempts.values() if each.deadline <= time_is]:
            self._count(attempt, attempt.expire())
        self._begin(time_is)
        return others

    def _begin(self, time_is: float) -> None:
        while self._due and self._due[0][0] <= time_is:
            due, pod = heapq.heappop(self._due)
            record = self.records.get(pod)
            if record is None or record.due != due or pod in self._attempts:
                continue
            try:
                self._attempts[pod] = attempt = Attempt(record.check, time_is, self._selector)
                self._count(attempt, attempt.begin())
            except OSError as error:  # this node's own want, such as of sockets: it says nothing about the pod
                self._give_up(pod)
                self._note(replace(record, due=time_is + record.check.period_seconds, why=f"not asked: {error}"))

    def _count(self, attempt: Attempt, answer: Answer | None) -> None:
        if answer is not None:
            pod = attempt.check.key
            del self._attempts[pod]
            self._note(answered(self.records[pod], answer, self._clock()))

    def forgive(self, seconds: float) -> None:
        """This program was busy that long: attempts under way get as much more time."""
        for attempt in self._attempts.values():
            attempt.deadline += seconds


def _told(record: Record) -> tuple[bool, str, bool]:
    return record.ready, "" if record.ready else record.why, record.coming
