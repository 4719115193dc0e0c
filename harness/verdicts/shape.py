"""The shape of an outage: which cells are sick, which pods are silent in them, and in which way they fail.

A *symptom* is one thing that went wrong in one cell. Causes claim the symptoms that they explain (``Shape.claim``);
what is left over is explained by the next cause, or stays unexplained, but is never lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.observation import OUTSIDE, NodeFacts, Outcome, Unready
from harness.model.verdict import Status, Verdict
from harness.verdicts import stats
from harness.verdicts.controls import Direct, Directs, state, target_of
from harness.verdicts.expectations import Cell, Depth, Expected
from harness.verdicts.families import facts_of
from harness.verdicts.stages import unseen_pods
from harness.verdicts.tally import Counts, Tallies

LUCK = 1e-3
"""A pod counts as silent in a sick cell when its silence has at most this chance of being luck."""


class Kind(StrEnum):
    """What went wrong in a cell."""

    SILENT = "silent pod"
    STRANGER = "stranger"
    SHARE = "wrong share"
    LOSS = "failures of live pods"
    REFUSAL = "wrong refusal"
    ASTRAY = "client that does not stick"
    HEARD = "answer in place of silence"
    HIDDEN = "client address not kept"
    HUDDLED = "many clients, few pods"
    OPEN = "answer at an address that serves no nodePorts"
    UNHEALTHY = "wrong health"


class Mode(StrEnum):
    """How the attempts that went wrong in a cell went wrong, mostly."""

    NONE = "no failures"
    REFUSED = "refused"
    SILENT = "silence"
    LATE = "late"
    HANGS = "no answer after connect"
    BAD = "bad answers"


@dataclass(frozen=True, slots=True)
class View:
    """One cell that was probed, as a diagnosis looks at it; ``sick`` when it has a verdict that did not pass."""

    cell: Cell
    counts: Counts
    silent: frozenset[str]
    sick: bool

    @property
    def dead(self) -> bool:
        """Nothing was answered at all, by anybody."""
        return self.counts.n > 0 and self.counts.answered == 0

    @property
    def itself(self) -> bool:
        """Whether a node asks itself: the path through OUTPUT, which is not forwarded."""
        return self.cell.vantage == self.cell.node

    @property
    def mode(self) -> Mode:
        """The main way of failing; a *set* of attempts is refused when a fair part of it is (ICMP is rate-limited)."""
        failures = self.counts.failures
        if failures.get(Outcome.REFUSED, 0) * 5 >= max(1, self.counts.failed):
            return Mode.REFUSED
        if self.counts.late:
            return Mode.LATE
        if not failures:
            return Mode.NONE
        most = max(failures, key=lambda outcome: failures[outcome])
        if most in (Outcome.TIMEOUT, Outcome.UNREACHABLE):
            return Mode.SILENT
        return Mode.BAD if most is Outcome.BAD_ANSWER else Mode.HANGS


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing wrong in one cell: ``what`` is a pod key, a stranger's name, or empty."""

    view: View
    kind: Kind
    what: str = ""

    @property
    def id(self) -> tuple[str, Kind, str]:
        """What makes it one symptom."""
        return str(self.view.cell), self.kind, self.what


@dataclass(slots=True)
class Shape:
    """Everything a diagnosis knows of one Service port, and the symptoms that are not explained yet."""

    views: tuple[View, ...]
    facts: dict[str, NodeFacts]
    directs: Directs
    unreachable: frozenset[str]
    generation: int | None
    pending: list[Symptom] = field(default_factory=list)

    @property
    def endpoints(self) -> tuple[Expected, ...]:
        """The pods that should answer."""
        return tuple({endpoint.pod: endpoint for view in self.views for endpoint in view.cell.endpoints}.values())

    @property
    def nodes(self) -> list[str]:
        """Nodes whose nodePort was asked."""
        return list(dict.fromkeys(view.cell.node for view in self.views))

    def row(self, node: str) -> list[View]:
        """Cells that ask this node from elsewhere, the outside client's first."""
        views = [view for view in self.views if view.cell.node == node and not view.itself]
        return sorted(views, key=lambda view: view.cell.vantage != OUTSIDE)

    def ingress(self, node: str) -> View | None:
        """The cell that stands for a node's row: the outside client's, or else another node's."""
        return next(iter(self.row(node)), None)

    def itself(self, node: str) -> View | None:
        """The cell in which a node asks itself."""
        return next((view for view in self.views if view.itself and view.cell.node == node), None)

    def direct(self, vantage: str, endpoint: Expected) -> Direct:
        """What came of asking a pod directly from a node."""
        return state(self.directs.get((vantage, target_of(endpoint, self.views[0].cell))))

    def unready(self, node: str, pod: str) -> Unready | None:
        """What a node says of a pod that it does not use."""
        facts = self.facts.get(node)
        return next((each for each in facts.unready if each.pod == pod), None) if facts is not None else None

    def elsewhere(self, node: str) -> list[View]:
        """Rows of all other nodes that are alive: where this node's pods should answer too."""
        rows = [self.ingress(other) for other in self.nodes if other != node]
        return [view for view in rows if view is not None and not view.dead]

    def of_kind(self, kind: Kind, node: str | None = None) -> list[Symptom]:
        """Pending symptoms of a kind, of all cells or of those that ask one node."""
        return [each for each in self.pending if each.kind is kind and node in (None, each.view.cell.node)]

    def silent_at(self, node: str) -> list[str]:
        """Pods whose silence in a node's row is not explained yet, in the order of endpoints."""
        view = self.ingress(node)
        found = {each.what for each in self.of_kind(Kind.SILENT, node) if view is not None and each.view is view}
        return [endpoint.pod for endpoint in self.endpoints if endpoint.pod in found]

    def claim(
        self,
        kinds: Collection[Kind] = tuple(Kind),
        *,
        node: str | None = None,
        what: Collection[str] | None = None,
        modes: Collection[Mode] = tuple(Mode),
        vantage: str | None = None,
    ) -> list[Symptom]:
        """Take pending symptoms off the list and return them: of these kinds, of cells that ask ``node``, and so on."""
        taken = [
            each
            for each in self.pending
            if each.kind in kinds
            and node in (None, each.view.cell.node)
            and (what is None or each.what in what)
            and each.view.mode in modes
            and vantage in (None, each.view.cell.vantage)
        ]
        self.pending = [each for each in self.pending if each not in taken]
        return taken

    def claim_forwarded(self, node: str) -> list[Symptom]:
        """The same for all that enters at a node from elsewhere."""
        return [taken for view in self.row(node) for taken in self.claim(node=node, vantage=view.cell.vantage)]


def shapes(
    cells: Sequence[Cell],
    tallies: Tallies,
    verdicts: Iterable[Verdict],
    facts: Sequence[NodeFacts],
    directs: Directs,
    generation: int | None,
) -> list[Shape]:
    """One shape for each Service port that has cells, with all its symptoms pending."""
    sick: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.status in (Status.FAIL, Status.ERROR):
            sick.setdefault(verdict.subject, []).append(verdict)
    unreachable = frozenset(tallies.lost) | {node.node for node in facts if not node.reachable}
    found = []
    for promise in dict.fromkeys(cell.promise for cell in cells if cell.plain):
        views = tuple(
            _view(cell, tallies.of(cell).both, str(cell) in sick)
            for cell in cells
            if cell.plain and cell.promise == promise and tallies.of(cell).both.n
        )
        if views:
            of_nodes = {node.node: facts_of(node, views[0].cell.family) for node in facts}
            shape = Shape(views, of_nodes, directs, unreachable, generation)
            shape.pending = [each for view in views for each in _symptoms(view, sick.get(str(view.cell), []))]
            found.append(shape)
    return found


def inside_symptoms(cells: Sequence[Cell], tallies: Tallies, verdicts: Iterable[Verdict]) -> list[Symptom]:
    """The symptoms of the cells that are in no shape: of pods that ask, and of Services' own addresses."""
    sick: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.status in (Status.FAIL, Status.ERROR):
            sick.setdefault(verdict.subject, []).append(verdict)
    views = [
        _view(cell, tallies.of(cell).both, sick=True)
        for cell in cells
        if not cell.plain and str(cell) in sick and tallies.of(cell).both.n
    ]
    return [each for view in views for each in _symptoms(view, sick[str(view.cell)])]


def _view(cell: Cell, counts: Counts, sick: bool) -> View:
    unlikely = len(cell.endpoints) == 1 or stats.absent_by_luck(1 / max(1, len(cell.endpoints)), counts.n) <= LUCK
    everyone = frozenset(endpoint.pod for endpoint in cell.endpoints)
    if counts.answered == 0:
        return View(cell, counts, everyone if sick else frozenset(), sick)
    judged = sick and unlikely and cell.depth not in (Depth.STICKY, Depth.CLIENTS)
    return View(cell, counts, frozenset(unseen_pods(cell, counts)) if judged else frozenset(), sick)


_OF_DEPTH = {Depth.REFUSED: Kind.REFUSAL, Depth.HEALTH: Kind.UNHEALTHY, Depth.SILENT: Kind.HEARD}
"""What goes wrong in cells where only one thing can."""


def _symptoms(view: View, verdicts: list[Verdict]) -> list[Symptom]:
    failed = {verdict.check: verdict for verdict in verdicts}
    if view.cell.depth in _OF_DEPTH:
        return [Symptom(view, _OF_DEPTH[view.cell.depth])] if failed else []
    if view.cell.depth is Depth.CLOSED:
        return [Symptom(view, Kind.OPEN, view.cell.key.target.address)] if failed else []
    order = [endpoint.pod for endpoint in view.cell.endpoints if endpoint.pod in view.silent]
    found = [Symptom(view, Kind.SILENT, pod) for pod in order]
    if "responders" in failed:
        found += [Symptom(view, Kind.STRANGER, name) for name in view.counts.wrong]
    if "spread" in failed:
        found.append(Symptom(view, Kind.SHARE, str(failed["spread"].evidence.get("suspect", ""))))
    if "source" in failed:
        found.append(Symptom(view, Kind.HIDDEN))
    if "clients" in failed:
        found.append(Symptom(view, Kind.HUDDLED))
    if "affinity" in failed:
        found.append(Symptom(view, Kind.ASTRAY))
    if "answers" in failed and not view.silent:
        found.append(Symptom(view, Kind.LOSS))
    return found
