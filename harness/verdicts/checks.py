"""The checks of one cell: each takes the counts of both stages and gives one verdict, with its evidence."""

from __future__ import annotations

from harness.model.observation import Outcome, pod_of
from harness.model.verdict import Status, Verdict
from harness.verdicts import promises, sequential, starvation, stats
from harness.verdicts.case import Case, listed, outcomes, seen_again, sizes, twice
from harness.verdicts.expectations import Cell, Depth
from harness.verdicts.sequential import Decision, State
from harness.verdicts.stages import Alarm as Cry
from harness.verdicts.stages import alarm, limit, shares_of, unseen_pods
from harness.verdicts.tally import Counts


def checks_of(cell: Cell) -> tuple[str, ...]:
    """The ids of the checks that a cell can have, the one that speaks for the cell first."""
    if cell.depth is Depth.REFUSED:
        return ("refused",)
    if cell.depth is Depth.SILENT:
        return ("dropped",)
    if cell.depth is Depth.CLOSED:
        return ("closed",)
    kept = ("source",) if cell.source or cell.hides else ()
    if cell.depth is Depth.STICKY:
        return ("answers", "responders", "affinity", *kept)
    if cell.depth is Depth.HEALTH:
        return ("health-check",)
    if cell.depth is Depth.CLIENTS:
        return ("answers", "responders", "affinity", "clients")
    spread = ("spread",) if cell.depth is Depth.SPREAD and len(cell.endpoints) > 1 else ()
    turns = ("turns",) if cell.dealt else ()
    own = ("hairpin",) if _asks_itself(cell) else ()
    return ("answers", "responders", "coverage", *own, *spread, *turns, *kept)


def _asks_itself(cell: Cell) -> bool:
    return any(endpoint.pod == pod_of(cell.vantage) for endpoint in cell.endpoints)


def verdicts(case: Case) -> list[Verdict]:
    """All verdicts of one cell."""
    if case.both.n == 0:
        held_up = f"nothing can be said: {case.both.set_aside} of {case.both.asked} attempts were held up in the prober"
        return [case.verdict(checks_of(case.cell)[0], Status.INCONCLUSIVE, held_up)]
    if case.cell.depth is Depth.REFUSED:
        return [promises.refused(case)]
    if case.cell.depth is Depth.SILENT:
        return [promises.dropped(case)]
    if case.cell.depth is Depth.CLOSED:
        return [promises.closed(case)]
    kept = [promises.source(case)] if case.cell.source or case.cell.hides else []
    if case.cell.depth is Depth.STICKY:
        return [_answers(case), _responders(case), promises.affinity(case), *kept]
    if case.cell.depth is Depth.HEALTH:
        return [promises.health_check(case)]
    if case.cell.depth is Depth.CLIENTS:
        return [_answers(case), _responders(case), promises.affinity_of_many(case), promises.clients(case)]
    answers, responders, coverage = _answers(case), _responders(case), _coverage(case)
    found = [answers, responders, coverage]
    if case.cell.depth is Depth.SPREAD and len(case.cell.endpoints) > 1:
        dirty = [verdict.check for verdict in found if verdict.status is Status.FAIL]
        silent = coverage.status is Status.INCONCLUSIVE
        found.append(_spread_skipped(case, dirty) if dirty or silent else _spread(case))
    if _asks_itself(case.cell):
        found.append(promises.hairpin(case, coverage))
    return [*found, *kept]


def _answers(case: Case) -> Verdict:
    both = case.both
    status = twice(case, lambda counts: counts.failed + counts.late)
    visible = stats.visible_rate(both.n)
    if status is Status.PASS:
        told = f"{both.n} of {both.n} attempts answered, none late (failures above {visible:.1%} would have shown)"
    else:
        told = f"{both.failed + both.late} of {both.n} attempts went wrong: {outcomes(both)}"
        odd = [text for text in both.details if text.startswith(Outcome.BAD_ANSWER)]
        told += f" ({max(odd, key=lambda text: both.details[text])})" if odd else ""
    if status is not Status.PASS and starvation.explains(case):
        status, told = Status.INCONCLUSIVE, f"{told}; that may be for lack of CPU: {case.starved}"
    elif status is Status.INCONCLUSIVE:
        told = f"transient: {told}, but not again in a fresh sample{sizes(case)}"
    low, high = stats.wilson(both.failed + both.late, both.n)
    return case.verdict("answers", status, told, smallest_visible_rate=visible, failure_rate_99=[low, high])


def _responders(case: Case) -> Verdict:
    if case.both.answered == 0:
        return case.verdict("responders", Status.SKIP, "nobody answered")
    status = twice(case, lambda counts: sum(counts.wrong.values()))
    if status is Status.PASS:
        return case.verdict("responders", status, f"all {case.both.answered} answers came from the Service's own pods")
    told = (
        f"{sum(case.both.wrong.values())} of {case.both.answered} answers came from others: {listed(case.both.wrong)}"
    )
    return case.verdict("responders", status, seen_again(case, status, told))


def _coverage(case: Case) -> Verdict:
    both, pods = case.both, len(case.cell.endpoints)
    silent = unseen_pods(case.cell, both)
    luck = stats.any_absent(case.cell.fair, both.n) if pods > 1 else 0.0
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
    told = f"transient: {_accusation(case, first, decision)}, but not again in a fresh sample{sizes(case)}"
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
        told = f"{_accusation(case, counts, decision)}, twice{sizes(case)}"
        return case.verdict("spread", Status.FAIL, told, **numbers)
    if decision.state is State.SUSPECT:
        told = f"{_accusation(case, counts, decision)}, but that was not seen twice"
        return case.verdict("spread", Status.INCONCLUSIVE, told, **numbers)
    at = "at the cap" if counts.n >= limit(case.cell, case.budget) else "so far"
    told = f"undecided {at} of {limit(case.cell, case.budget)} attempts: {shown} of {counts.n}, {skew}"
    return case.verdict("spread", Status.INCONCLUSIVE, told, **numbers)


def _accusation(case: Case, counts: Counts, decision: Decision) -> str:
    endpoint = case.cell.endpoints[decision.endpoint or 0]
    hits = counts.answers.get(endpoint.pod, 0)
    share, wanted = hits / max(1, counts.answered), case.cell.fair[decision.endpoint or 0]
    return (
        f"{endpoint.pod} gave {hits} of {counts.answered} answers ({share:.0%}; "
        f"{'promised' if case.cell.weights else 'fair'} is {wanted:.0%}): "
        f"{decision.alternative}, e-value 1e{decision.log10_e:.1f}"
    )


def _visible(case: Case, counts: Counts) -> str:
    light, heavy = _visible_weights(case, counts)
    if light is None and heavy is None:
        return "no skew would have shown"
    parts = [f"below {light:.2f}"] if light is not None else []
    parts += [f"above {heavy:.2f}"] if heavy is not None else []
    return f"smallest visible skew: a weight {' or '.join(parts)}"


def _visible_weights(case: Case, counts: Counts) -> tuple[float | None, float | None]:
    """The smallest skew that would have shown in the endpoint with the smallest share, where it shows last."""
    fair = case.cell.fair
    return stats.visible_weights(len(fair), counts.n, case.budget.spread, share=min(fair))


def _numbers(case: Case, counts: Counts, decision: Decision) -> dict[str, object]:
    hits = counts.of(case.cell.endpoints)
    statistic = stats.chi_square(hits, case.cell.fair)
    light, heavy = _visible_weights(case, counts)
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
