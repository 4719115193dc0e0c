"""What a plan says of itself, judged: whether there is anything behind a nodePort at all."""

from __future__ import annotations

from harness.model.plan import Plan, PlannedService
from harness.model.verdict import Status, Verdict

CHECK = "endpoints"


def judge_plan(plan: Plan) -> tuple[Verdict, ...]:
    """One verdict for each Service with a nodePort: has its selector found pods?

    A Service whose selector matches nothing is legal, and its nodePort must be refused (check ``refused``); but it is
    hardly what was meant, so it fails with the plan's explanation. One without a selector has no endpoints of its own
    (API rule), so it is skipped.
    """
    services = [service for service in plan.services if any(port.node_port is not None for port in service.ports)]
    return tuple(_verdict(service, plan) for service in services)


def _verdict(service: PlannedService, plan: Plan) -> Verdict:
    ours = plan.pods_by_address
    ends = {endpoint.address for port in service.ports for endpoint in port.endpoints}
    pods = {ours[each].key for each in ends if each in ours}
    evidence = {"pods": len(pods), "selector": dict(service.selector)}
    if ends - ours.keys():
        strange = ", ".join(sorted(ends - ours.keys()))
        status, told = Status.SKIP, f"not probed: {strange} is no pod of this plan, so who answers cannot be told"
    elif pods:
        status, told = Status.PASS, f"{len(pods)} {'pod' if len(pods) == 1 else 'pods'} behind it"
    elif not service.selector:
        status, told = Status.SKIP, "no selector, so no endpoints of its own"
    else:
        status, told = Status.FAIL, service.explanation or "its selector matches no pod"
    return Verdict(CHECK, service.key, status, told, service=service.key, evidence=evidence)
