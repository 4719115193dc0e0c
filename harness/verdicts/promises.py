"""The checks of what a Service promises beside being answered: refusal, silence, affinity, the client's address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.model.observation import pod_of
from harness.model.verdict import Status, Verdict
from harness.verdicts.case import Case, listed, outcomes, seen_again, twice
from harness.verdicts.stages import huddled, pods_of_clients, strays
from harness.verdicts.unheard import refuses, stays_closed, stays_silent


def hairpin(case: Case, coverage: Verdict) -> Verdict:
    """A pod of the Service that asks is among those that answer; what is said of the others is ``coverage``."""
    own, both = pod_of(case.cell.vantage), case.both
    times = both.answers.get(own, 0)
    if times:
        return case.verdict("hairpin", Status.PASS, f"the pod reached itself, {times} times in {both.n}")
    told = f"the pod never reached itself, in {both.n} attempts: {outcomes(both) or 'none failed'}"
    alone = both.answered == 0 and len(case.cell.endpoints) == 1
    return case.verdict("hairpin", Status.FAIL if alone and case.second.n else coverage.status, told)


def refused(case: Case) -> Verdict:
    """A nodePort without endpoints refuses actively."""
    both = case.both
    if both.answered:
        told = f"no endpoints, yet {both.answered} of {both.n} attempts were answered, by {listed(both.wrong)}"
        status = twice(case, lambda counts: counts.answered)
        return case.verdict("refused", status, told if status is Status.FAIL else f"transient: {told}")
    active = refuses(case.tally.first) or refuses(case.second)
    if active:
        return case.verdict("refused", Status.PASS, f"no endpoints, and refused actively: {outcomes(both)}")
    told = f"black hole: no endpoints, but {both.n} attempts met silence instead of a refusal: {outcomes(both)}"
    status = Status.FAIL if case.second.n else Status.INCONCLUSIVE
    return case.verdict("refused", status, told)


def dropped(case: Case) -> Verdict:
    """Who must not be served, or not here, meets silence."""
    both = case.both
    if stays_silent(case.cell, both):
        return case.verdict("dropped", Status.PASS, f"as promised, {both.n} of {both.n} attempts met silence")
    status = twice(case, lambda counts: 0 if stays_silent(case.cell, counts) else 1)
    came = f"{both.answered} answered" + (f", by {listed(both.wrong)}" if both.wrong else "")
    told = f"should be dropped in silence, but of {both.n} attempts {came}; {outcomes(both) or 'none failed'}"
    return case.verdict("dropped", status, told if status is Status.FAIL else f"transient: {told}")


def closed(case: Case) -> Verdict:
    """Nobody accepts a connection where nothing was promised: refusal and silence will both do."""
    both = case.both
    if stays_closed(both):
        return case.verdict("closed", Status.PASS, f"as promised, nobody answers there: {outcomes(both)}")
    status = twice(case, lambda counts: 0 if stays_closed(counts) else 1)
    came = f"{both.answered} were answered" + (f", by {listed(both.wrong)}" if both.wrong else "")
    told = f"nobody should answer at {case.cell.key.target.address}, but of {both.n} attempts {came}"
    told += f"; {outcomes(both)}" if both.failed else ""
    return case.verdict("closed", status, told if status is Status.FAIL else f"transient: {told}")


def health_check(case: Case) -> Verdict:
    """A health check port tells the truth, in kube-proxy's words."""
    both, (right,) = case.both, case.cell.endpoints
    status = twice(case, lambda counts: counts.bad)
    if status is Status.PASS:
        return case.verdict("health-check", status, f"{both.n} of {both.n} times: {right.pod}")
    told = ", ".join(filter(None, [outcomes(both), listed(both.wrong), listed(both.details)]))
    told = f"should say {right.pod}, but of {both.n} attempts: {told}"
    return case.verdict("health-check", status, told if status is Status.FAIL else f"transient: {told}")


def affinity(case: Case) -> Verdict:
    """One client is answered by one pod."""
    if not case.both.answers:
        return case.verdict("affinity", Status.SKIP, "none of its pods answered")
    status = twice(case, strays)
    if status is Status.PASS:
        who, times = next(iter(case.both.answers.items()))
        pods = len(case.cell.endpoints)
        told = f"one client, one pod: {who} gave all {times} answers, of {pods} pods that it could have been"
        return case.verdict("affinity", status, told)
    told = f"one client was sent to {len(case.both.answers)} pods: {listed(case.both.answers)}"
    return case.verdict("affinity", status, seen_again(case, status, told))


def affinity_of_many(case: Case) -> Verdict:
    """Each of many clients is answered by one pod."""
    found = pods_of_clients(case.both)
    if not found:
        return case.verdict("affinity", Status.SKIP, "none of its pods answered")
    astray = {client: pods for client, pods in found.items() if len(pods) > 1}
    status = twice(case, lambda counts: sum(len(pods) > 1 for pods in pods_of_clients(counts).values()))
    if status is Status.PASS:
        told = f"{len(found)} clients, each answered by one pod in {case.both.n // len(found)} attempts"
        return case.verdict("affinity", status, told)
    first = next(iter(astray))
    told = f"{len(astray)} of {len(found)} clients were sent to several pods, such as {first} to {_some(astray[first])}"
    return case.verdict("affinity", status, seen_again(case, status, told))


def clients(case: Case) -> Verdict:
    """Many clients are spread over the pods."""
    found = pods_of_clients(case.both)
    if not found:
        return case.verdict("clients", Status.SKIP, "none of its pods answered")
    dealt = Counter(pods[0] for pods in found.values() if len(pods) == 1)
    status = twice(case, lambda counts: huddled(case.cell, counts))
    told = f"{len(found)} clients were sent to {len(dealt)} of {len(case.cell.endpoints)} pods: {listed(dealt)}"
    if status is Status.INCONCLUSIVE:
        told = f"transient: in one sample, {told}"
    return case.verdict("clients", status, told, clients=dict(dealt))


def _some(pods: Sequence[str]) -> str:
    return " and ".join(sorted(pods)[:3])


def source(case: Case) -> Verdict:
    """Pods see the client's own address, or do not. One answer is enough: a rule translates addresses, not luck."""
    wanted, hidden, seen = case.cell.source, case.cell.hides, case.both.sources
    if not seen:
        promised = case.cell.ask is not None and case.both.answered  # whoever promised it said where to look for it
        status = Status.INCONCLUSIVE if promised else Status.SKIP
        return case.verdict("source", status, "no answer tells which client address its pod saw")
    if hidden:
        times = seen.get(hidden, 0)
        told = (
            f"pods should not see the client's own address, {hidden}; {times} of {sum(seen.values())} answers tell it"
        )
        return case.verdict("source", Status.FAIL if times else Status.PASS, told)
    others = {address: times for address, times in seen.items() if address != wanted}
    if not others:
        return case.verdict("source", Status.PASS, f"pods saw the client's own address, {wanted}")
    told = f"pods should see the client's own address, {wanted}, but saw {listed(others)}"
    return case.verdict("source", Status.FAIL, told)
