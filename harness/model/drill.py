"""A drill: something happens to the nodes while traffic goes on, and what of it every node's clients saw."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened, and when: seconds from the begin of the scenario."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A short time at one node: answers of pods that leave, of pods that come, of pods that stay, and failures."""

    leaving: int = 0
    coming: int = 0
    staying: int = 0
    failed: int = 0

    def share(self, *, away: bool) -> float | None:
        """How far a change is: the share of answers by pods that do not leave or, if none leaves, by those that come.

        ``None`` when nobody answered.
        """
        answered = self.leaving + self.coming + self.staying
        if not answered:
            return None
        return 1 - self.leaving / answered if away else self.coming / answered


@dataclass(frozen=True, slots=True)
class Course:
    """How one node went through a scenario, in seconds from its begin.

    ``failures`` maps outcomes to attempts; ``failed_first`` and ``failed_last`` are when such attempts began.
    ``blackout`` is the longest time from one answered attempt to the next with a failed one between them.
    ``first_answer`` maps each pod that came, by name, to its first answer by way of this node, ``last_answer`` each pod
    that left to its last one; ``None`` when there was none. ``slots`` divide the whole time evenly.
    """

    node: str
    attempts: int
    failures: dict[str, int]
    failed_first: float | None
    failed_last: float | None
    blackout: float
    slowest_ms: float
    first_answer: dict[str, float | None]
    last_answer: dict[str, float | None]
    slots: tuple[Slot, ...]

    @property
    def lost(self) -> int:
        """Attempts that failed."""
        return sum(self.failures.values())

    @property
    def turning(self) -> bool:
        """Whether pods came or left."""
        return any(slot.leaving or slot.coming for slot in self.slots)

    @property
    def away(self) -> bool:
        """Whether pods left."""
        return any(slot.leaving for slot in self.slots)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario as it went: ``planned`` ones may lose nothing. ``ended`` is when what was done was done."""

    name: str
    title: str
    service: str
    planned: bool
    rate: float
    seconds: float
    ended: float
    moments: tuple[Moment, ...]
    courses: tuple[Course, ...]
    patience: float = 10.0
    """Seconds for which requests may fail after something that is not planned: until every node can have noticed."""
    spared: str = ""
    """The node that was itself taken away; what it does not answer is not held against it."""
