"""Which checks a person wants: ``--focus`` and ``--skip``, regular expressions over the full names of checks. Pure.

The full name is what reports show: ``spread: outside → n1, default/web-service 80 on 30008/TCP``. So ``spread``,
``→ n1,``, ``default/web`` and ``^answers: pod/`` are all patterns.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.model.verdict import Status, Verdict
from harness.verdicts.catalogue import IDS
from harness.verdicts.checks import checks_of
from harness.verdicts.expectations import Cell


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns wanted (none: everything) and not wanted; a name is wanted when one fits and none of the others.

    Raises :class:`UsageError` for a pattern that is no regular expression.
    """

    focus: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be a pattern."""
        for pattern in (*self.focus, *self.skip):
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(
                    f"{pattern!r} is no regular expression: {error}", hint="harness verify --list"
                ) from None

    @property
    def everything(self) -> bool:
        """Whether nothing was chosen."""
        return not self.focus and not self.skip

    @property
    def provenance(self) -> dict[str, str]:
        """What a report says of it: nothing when everything was wanted."""
        said = {"focus": " | ".join(self.focus), "skip": " | ".join(self.skip)}
        return {name: patterns for name, patterns in said.items() if patterns}

    def wants(self, name: str) -> bool:
        """Whether a check of that full name is wanted."""
        focused = not self.focus or any(re.search(pattern, name) for pattern in self.focus)
        return focused and not any(re.search(pattern, name) for pattern in self.skip)

    def of_cells(self, cells: Iterable[Cell]) -> tuple[Cell, ...]:
        """The cells that have to be probed: those of which one check is wanted."""
        return tuple(cell for cell in cells if self.wants_cell(cell))

    def wants_cell(self, cell: Cell) -> bool:
        """Whether one of the checks of a cell is wanted."""
        return any(self.wants(name) for name in names_of(cell))

    def of_verdicts(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """The verdicts wanted; of what was probed for them, what went wrong is told too unless it is to be skipped."""
        skipping = Selection(skip=self.skip)
        asked = {verdict.subject for verdict in verdicts if self.wants(name_of(verdict))}
        return tuple(
            verdict
            for verdict in verdicts
            if self.wants(name_of(verdict))
            or (verdict.subject in asked and _bad(verdict) and skipping.wants(name_of(verdict)))
            or verdict.status is Status.ERROR
        )

    def check(self, names: Collection[str]) -> None:
        """Raises :class:`UsageError`, with what is nearest, when a pattern fits no name or nothing is left."""
        for pattern in (*self.focus, *self.skip):
            if not any(re.search(pattern, name) for name in names):
                raise UsageError(f"no check is called {pattern!r}", hint=_nearest(pattern, names))
        if not any(self.wants(name) for name in names):
            raise UsageError("no check is left: --skip takes away all that --focus names", hint="harness verify --list")


EVERYTHING = Selection()
"""Nothing chosen, nothing left out."""


def names_of(cell: Cell) -> tuple[str, ...]:
    """The full names of the checks of a cell."""
    return tuple(f"{check}: {cell}" for check in checks_of(cell))


def name_of(verdict: Verdict) -> str:
    """The full name of the check that a verdict is about."""
    return f"{verdict.check}: {verdict.subject}"


def _bad(verdict: Verdict) -> bool:
    return verdict.status in (Status.FAIL, Status.INCONCLUSIVE)


def _nearest(pattern: str, names: Collection[str]) -> str:
    """The id, or else a word of a name, that was probably meant."""
    words = {word.strip(",:") for name in names for word in name.split()}
    near = difflib.get_close_matches(pattern, [*IDS, *sorted(words)], 1, 0.5)
    return f"did you mean {near[0]}? harness verify --list shows all" if near else "harness verify --list shows all"
