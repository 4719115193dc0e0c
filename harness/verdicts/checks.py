"""The checks of one cell: each takes the counts of both stages and gives one verdict, with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.model.verdict import Status, Verdict
from harness.verdicts import sequential, stats
from harness.verdicts.expectations import Cell, Depth
from harness.verdicts.sequential import Decision, State
from harness.verdicts.stages import Alarm as Cry
from harness.verdicts.stages import Budget, alarm, limit, refuses, shares_of, stays_silent, strays, unseen_pods
from harness.verdicts.tally import Counts, Tally


@dataclass(frozen=True, slots=True)
class Case:
    """One cell before the judge; ``even`` when picks of its Service port are dealt in turn, not drawn."""

    cell: Cell
    tally: Tally
    budget: Budget
    seed: int | None
    even: bool = False

    @property
    def both(self) -> Counts:
        """Everything seen of the cell."""
        return self.tally.both

    @property
    def second(self) -> Counts:
        """The fresh sample; empty when none was asked for."""
        return self.tally.second or Counts()

    def verdict(self, check: str, status: Status, summary: str, **evidence: object) -> Verdict:
        """A verdict about this cell, with the evidence that all checks share."""
        shared: dict[str, object] = {
            "attempts": self.both.n,
            "counts": {endpoint.pod: self.both.answers.get(endpoint.pod, 0) for endpoint in self.cell.endpoints},
            "wrong": dict(self.both.wrong),
            "failures": {str(outcome): times for outcome, times in self.both.failures.items()},
            "late": self.both.late,
            "set_aside": self.both.set_aside,
            "stage_two_attempts": self.second.n,
            "seed": self.seed,
        }
        cell = self.cell
        return Verdict(check, str(cell), status, summary, cell.node, cell.vantage, cell.service, {**shared, **evidence})


def verdicts(case: Case) -> list[Verdict]:
    """All verdicts of one cell."""
    if case.both.n == 0:
        held_up = f"nothing can be said: {case.both.set_aside} of {case.both.asked} attempts were held up in the prober"
        check = {Depth.REFUSED: "refused", Depth.SILENT: "dropped"}.get(case.cell.depth, "answers")
        return [case.verdict(check, Status.INCONCLUSIVE, held_up)]
    if case.cell.depth is Depth.REFUSED:
        return [_refused(case)]
    if case.cell.depth is Depth.SILENT:
        return [_dropped(case)]
    kept = [_source(case)] if case.cell.source else []
    if case.cell.depth is Depth.STICKY:
        return [_answers(case), _responders(case), _affinity(case), *kept]
    answers, responders, coverage = _answers(case), _responders(case), _coverage(case)
    found = [answers, responders, coverage]
    if case.cell.depth is Depth.SPREAD and len(case.cell.endpoints) > 1:
        dirty = [verdict.check for verdict in found if verdict.status is Status.FAIL]
        silent = coverage.status is Status.INCONCLUSIVE
        found.append(_spread_skipped(case, dirty) if dirty or silent else _spread(case))
    return [*found, *kept]


def _twice(case: Case, kind: Callable[[Counts], int]) -> Status:
    """The two-stage rule for what is not tolerated at all."""
    first, second = kind(case.tally.first), kind(case.second)
    if first and second:
        return Status.FAIL
    return Status.INCONCLUSIVE if first or second else Status.PASS


def _answers(case: Case) -> Verdict:
    both = case.both
    status = _twice(case, lambda counts: counts.failed + counts.late)
    visible = stats.visible_rate(both.n)
    if status is Status.PASS:
        told = f"{both.n} of {both.n} attempts answered, none late (failures above {visible:.1%} would have shown)"
    else:
        told = f"{both.failed + both.late} of {both.n} attempts went wrong: {outcomes(both)}"
    if status is Status.INCONCLUSIVE:
        told = f"transient: {told}, but not again in a fresh sample{_sizes(case)}"
    low, high = stats.wilson(both.failed + both.late, both.n)
    return case.verdict("answers", status, told, smallest_visible_rate=visible, failure_rate_99=[low, high])


def outcomes(counts: Counts) -> str:
    """``12 timeout, 5 late``: how attempts went wrong, most frequent first."""
    kinds: dict[str, int] = {str(outcome): times for outcome, times in counts.failures.items()}
    if counts.late:
        kinds["late (second SYN needed)"] = counts.late
    return _listed(kinds)


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{times} {kind}" for kind, times in sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0])))


def _sizes(case: Case) -> str:
    return f" ({case.tally.first.n} attempts, then {case.second.n})"


def _responders(case: Case) -> Verdict:
    if case.both.answered == 0:
        return case.verdict("responders", Status.SKIP, "nobody answered")
    status = _twice(case, lambda counts: sum(counts.wrong.values()))
    if status is Status.PASS:
        return case.verdict("responders", status, f"all {case.both.answered} answers came from the Service's own pods")
    told = (
        f"{sum(case.both.wrong.values())} of {case.both.answered} answers came from others: {_listed(case.both.wrong)}"
    )
    if status is Status.INCONCLUSIVE:
        told = f"transient: {told}, but not in both samples{_sizes(case)}"
    return case.verdict("responders", status, told)


def _coverage(case: Case) -> Verdict:
    both, pods = case.both, len(case.cell.endpoints)
    silent = unseen_pods(case.cell, both)
    luck = min(1.0, pods * stats.absent_by_luck(pods, both.n)) if pods > 1 else 0.0
    said = f"{pods - len(silent)} of {pods} pods answered, in {both.n} attempts"
    if both.answered == 0:
        return case.verdict("coverage", Status.SKIP, "nobody answered")
    if not silent and _vanished(case):
        told = f"transient: pods were silent in {case.tally.first.n} attempts, but answered in a fresh sample"
        return case.verdict("coverage", Status.INCONCLUSIVE, told)
    if not silent:
        told = f"{pods} of {pods} pods answered" if pods > 1 else "the one pod answered"
        return case.verdict("coverage", Status.PASS, told)
    if luck <= case.budget.coverage:
        told = f"{said}; never {', '.join(silent)} (by luck: {luck:.0e})"
        return case.verdict("coverage", Status.FAIL, told, silent=list(silent), by_luck=luck)
    told = f"{said}; not {', '.join(silent)}, but that may be luck ({luck:.0e})"
    return case.verdict("coverage", Status.INCONCLUSIVE, told, silent=list(silent), by_luck=luck)


def _vanished(case: Case) -> bool:
    """Whether stage one cried out about a silent pod, and only stage two heard it."""
    cry = alarm(case.cell, case.tally.first, case.budget.spread, case.budget)
    silent = bool(unseen_pods(case.cell, case.tally.first))
    return silent and cry in (Cry.COVERAGE, Cry.SPREAD)


def _spread_skipped(case: Case, dirty: list[str]) -> Verdict:
    words = {"answers": "attempts failed", "responders": "others answer", "coverage": "pods are silent"}
    why = words[dirty[0]] if dirty else "a pod may be silent"
    return case.verdict("spread", Status.SKIP, f"shares are not judged where {why}")


def _spread(case: Case) -> Verdict:
    cell, first = case.cell, case.tally.first
    if first.bad:
        decision = shares_of(cell, case.both, case.budget.spread, case.budget)
        return _settled(case, case.both, decision, confirmed=False)
    decision = shares_of(cell, first, case.budget.spread, case.budget)
    if decision.state is not State.SUSPECT:
        return _settled(case, first, decision, confirmed=False)
    again = shares_of(cell, case.second, case.budget.confirm, case.budget)
    if again.state is State.SUSPECT:
        return _settled(case, case.both, _named(case, decision), confirmed=True)
    told = f"transient: {_accusation(case, first, decision)}, but not again in a fresh sample{_sizes(case)}"
    return case.verdict("spread", Status.INCONCLUSIVE, told, **_numbers(case, first, decision))


def _named(case: Case, decision: Decision) -> Decision:
    """The strongest accusation over both samples together; it names the pod better than either alone."""
    pooled = shares_of(case.cell, case.both, case.budget.spread, case.budget)
    return pooled if pooled.state is State.SUSPECT else decision


def _settled(case: Case, counts: Counts, decision: Decision, *, confirmed: bool) -> Verdict:
    numbers = _numbers(case, counts, decision)
    hits, skew = counts.of(case.cell.endpoints), _visible(case, counts)
    pods, shares = len(hits), "/".join(f"{100 * each / max(1, sum(hits)):.0f}" for each in hits)
    shown = f"shares {shares} %" if pods <= 10 else f"{pods} shares"
    if decision.state is State.HEALTHY:
        note = "; dealt in turn (deterministic, such as round-robin)" if case.even else ""
        told = f"{pods} pods answered {sum(hits)} of {counts.n}, {shown}; half or double weight would have shown{note}"
        return case.verdict("spread", Status.PASS, told, **numbers)
    if decision.state is State.SUSPECT and confirmed:
        told = f"{_accusation(case, counts, decision)}, twice{_sizes(case)}"
        return case.verdict("spread", Status.FAIL, told, **numbers)
    if decision.state is State.SUSPECT:
        told = f"{_accusation(case, counts, decision)}, but that was not seen twice"
        return case.verdict("spread", Status.INCONCLUSIVE, told, **numbers)
    at = "at the cap" if counts.n >= limit(case.cell, case.budget) else "so far"
    told = f"undecided {at} of {limit(case.cell, case.budget)} attempts: {shown} of {counts.n}, {skew}"
    return case.verdict("spread", Status.INCONCLUSIVE, told, **numbers)


def _accusation(case: Case, counts: Counts, decision: Decision) -> str:
    endpoint = case.cell.endpoints[decision.endpoint or 0]
    hits, pods = counts.answers.get(endpoint.pod, 0), len(case.cell.endpoints)
    share = hits / max(1, counts.answered)
    return (
        f"{endpoint.pod} gave {hits} of {counts.answered} answers ({share:.0%}; fair is {1 / pods:.0%}): "
        f"{decision.alternative}, e-value 1e{decision.log10_e:.1f}"
    )


def _visible(case: Case, counts: Counts) -> str:
    light, heavy = stats.visible_weights(len(case.cell.endpoints), counts.n, case.budget.spread)
    if light is None and heavy is None:
        return "no skew would have shown"
    parts = [f"below {light:.2f}"] if light is not None else []
    parts += [f"above {heavy:.2f}"] if heavy is not None else []
    return f"smallest visible skew: a weight {' or '.join(parts)}"


def _numbers(case: Case, counts: Counts, decision: Decision) -> dict[str, object]:
    hits = counts.of(case.cell.endpoints)
    statistic = stats.chi_square(hits)
    light, heavy = stats.visible_weights(len(hits), counts.n, case.budget.spread)
    accused = decision.state is State.SUSPECT and decision.endpoint is not None
    return {
        "log10_e_value": round(decision.log10_e, 3),
        "suspect": case.cell.endpoints[decision.endpoint or 0].pod if accused else "",
        "alternative": str(decision.alternative) if accused else "",
        "chi_square": round(statistic, 4),
        "p": stats.chi_square_survival(statistic, len(hits) - 1),
        "alpha": case.budget.spread,
        "alpha_confirm": case.budget.confirm,
        "beta": case.budget.beta,
        "smallest_visible_weight_below": light,
        "smallest_visible_weight_above": heavy,
        "cap": limit(case.cell, case.budget),
        "deterministic": case.even,
        "evenness": sequential.evenness([hits]),
    }


def _refused(case: Case) -> Verdict:
    both = case.both
    if both.answered:
        told = f"no endpoints, yet {both.answered} of {both.n} attempts were answered, by {_listed(both.wrong)}"
        status = _twice(case, lambda counts: counts.answered)
        return case.verdict("refused", status, told if status is Status.FAIL else f"transient: {told}")
    active = refuses(case.tally.first) or refuses(case.second)
    if active:
        return case.verdict("refused", Status.PASS, f"no endpoints, and refused actively: {outcomes(both)}")
    told = f"black hole: no endpoints, but {both.n} attempts met silence instead of a refusal: {outcomes(both)}"
    status = Status.FAIL if case.second.n else Status.INCONCLUSIVE
    return case.verdict("refused", status, told)


def _dropped(case: Case) -> Verdict:
    both = case.both
    if stays_silent(both):
        return case.verdict("dropped", Status.PASS, f"as promised, {both.n} of {both.n} attempts met silence")
    status = _twice(case, lambda counts: 0 if stays_silent(counts) else 1)
    came = f"{both.answered} answered" + (f", by {_listed(both.wrong)}" if both.wrong else "")
    told = f"should be dropped in silence, but of {both.n} attempts {came}; {outcomes(both) or 'none failed'}"
    return case.verdict("dropped", status, told if status is Status.FAIL else f"transient: {told}")


def _affinity(case: Case) -> Verdict:
    if not case.both.answers:
        return case.verdict("affinity", Status.SKIP, "none of its pods answered")
    status = _twice(case, strays)
    if status is Status.PASS:
        who, times = next(iter(case.both.answers.items()))
        pods = len(case.cell.endpoints)
        told = f"one client, one pod: {who} gave all {times} answers, of {pods} pods that it could have been"
        return case.verdict("affinity", status, told)
    told = f"one client was sent to {len(case.both.answers)} pods: {_listed(case.both.answers)}"
    if status is Status.INCONCLUSIVE:
        told = f"transient: {told}, but not in both samples{_sizes(case)}"
    return case.verdict("affinity", status, told)


def _source(case: Case) -> Verdict:
    """One answer is enough to tell: an address is translated by a rule, not by luck."""
    wanted, seen = case.cell.source, case.both.sources
    if not seen:
        return case.verdict("source", Status.SKIP, "no answer tells which client address its pod saw")
    others = {address: times for address, times in seen.items() if address != wanted}
    if not others:
        return case.verdict("source", Status.PASS, f"pods saw the client's own address, {wanted}")
    told = f"pods should see the client's own address, {wanted}, but saw {_listed(others)}"
    return case.verdict("source", Status.FAIL, told)
