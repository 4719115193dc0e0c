"""How far the roll-out of a Deployment is: asked of what is kept and of the nodes."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import RigError
from harness.plan import alter, names
from harness.session import change, inspect
from harness.session.lab import Lab
from harness.support import clock


def wait(lab: Lab, wanted: alter.Reference, seconds: float, say: Callable[[str], None]) -> None:
    """Until every replica runs and is of the present template; whatever is waited for is said once, as kubectl does.

    Raises :class:`UsageError` when there is no such Deployment, :class:`RigError` when it takes longer.
    """
    last = ""

    def done() -> None:
        nonlocal last
        lacking = _lacking(lab, wanted)
        if lacking and lacking != last:
            say(lacking)
            last = lacking
        if lacking:
            raise clock.NotYet(lacking)

    clock.until(done, what=f"the roll-out of {wanted.plain}", within=seconds, every=0.5, failure=RigError)


def _lacking(lab: Lab, wanted: alter.Reference) -> str:
    now = change.present(lab)
    found = alter.replica_set(now.workload, wanted)
    revision = names.revision(found.template_labels, found.template, found.restarted_at)
    owned = [pod for pod in now.plan.pods if (pod.namespace, pod.owner) == (found.namespace, names.owner(found))]
    updated = [pod for pod in owned if pod.revision == revision]
    begin = f'Waiting for deployment "{found.name}" rollout to finish:'
    if len(updated) < found.replicas:
        return f"{begin} {len(updated)} out of {found.replicas} new replicas have been updated..."
    if len(owned) > len(updated):
        return f"{begin} {len(owned) - len(updated)} old replicas are pending termination..."
    available = inspect.running(lab.cluster(), now.plan) & {pod.key for pod in updated}
    if len(available) < found.replicas:
        return f"{begin} {len(available)} of {found.replicas} updated replicas are available..."
    return "" if now.settled else f"{begin} the change is not finished on every node..."
