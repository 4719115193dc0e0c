"""After a boot: wait until the nodes run by themselves what they had been given."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from harness.errors import RemoteError, RigError
from harness.model.cluster import Cluster
from harness.model.plan import Plan
from harness.model.progress import Listener, Step
from harness.session import remote
from harness.support import clock

SECONDS = 30.0
"""How long a node may take from its first answer to SSH until it runs what it was given."""

EMULATED_SECONDS = 180.0
"""The same where its processor is emulated: alone on the machine it takes ten, beside other work many times that."""

_BOOTED = ("systemctl", "is-system-running", "--wait")
_COMING = ("/usr/bin/python3", "-E", "/usr/local/lib/nodeport/nodeportd", "coming")
"""Only asks; ``nodeportd settle`` would also mend."""
_LONGEST = 330.0
"""Seconds, a little longer than nodeportd itself calls a pod coming."""
_GIVEN = ("test", "-e", "/etc/nodeport/state.json")
_STATUS = ("cat", "/run/nodeport/status.json")
_SAYS = """\
echo "nodeportd.service is $(systemctl is-enabled nodeportd 2>&1) and $(systemctl is-active nodeportd 2>&1)"
for file in /etc/nodeport/state.json /etc/systemd/system/nodeportd.service; do
    stat --format '%n has %s bytes' "$file" 2>&1
done
systemctl list-units --failed --plain --no-legend
journalctl --boot --unit=nodeportd --no-pager --output=short-monotonic --lines=8
"""
"""What a node that does not run what it was given has to say: a power cut may have taken files, or links of units."""


def settle(cluster: Cluster, plan: Plan | None, listener: Listener) -> None:
    """Wait until every node has ended its boot and runs the generation of ``plan``; nothing on them is changed.

    Pods with a readiness check are waited for as well, for as long as the check allows; whether one that is not
    ready then should be is for the verdicts.

    Raises :class:`RemoteError` that names each node that does not, after :data:`SECONDS`, or :data:`EMULATED_SECONDS`.
    """
    listener(Step("waiting until the nodes run what they were given"))
    with ThreadPoolExecutor(max_workers=16) as pool:
        amiss = [
            word for word in pool.map(lambda node: _amiss_in_full(cluster, node.name, plan), cluster.nodes) if word
        ]
    if amiss:
        raise RemoteError("\n".join(amiss), hint="`harness verify` says what is wrong, `harness apply` mends it")


def settle_given(cluster: Cluster, plan: Plan, listener: Listener) -> None:
    """The same after ``up``, for the nodes that have been given something: new ones were not. What is amiss is told."""

    def amiss(node: str) -> str:
        given = remote.run(cluster, node, _GIVEN).ok
        return _amiss(cluster, node, plan) if given else ""

    listener(Step("waiting until the nodes run what they were given"))
    with ThreadPoolExecutor(max_workers=16) as pool:
        for told in filter(None, pool.map(amiss, [node.name for node in cluster.nodes])):
            listener(Step(told))


def _amiss_in_full(cluster: Cluster, node: str, plan: Plan | None) -> str:
    """What is amiss, and what the node itself says about that."""
    amiss = _amiss(cluster, node, plan)
    if not amiss:
        return ""
    try:
        said = remote.as_root(cluster, node, ("sh", "-c", _SAYS)).out
    except RigError as error:
        said = f"no answer: {error}"
    lines = [amiss, f"{node} itself says:", *(f"  {line[:200]}" for line in said.splitlines())]
    return "\n".join(lines)


def _amiss(cluster: Cluster, node: str, plan: Plan | None) -> str:
    seconds = EMULATED_SECONDS if cluster.emulated else SECONDS

    def runs() -> None:
        if plan is None:
            return
        try:
            done = remote.run(cluster, node, _STATUS, timeout=seconds / 3)
        except RigError as slow:  # one answer that takes long is no reason to give up
            raise clock.NotYet(slow.message) from None
        if not done.ok:
            raise clock.NotYet(done.last_words())
        status = json.loads(done.out)
        if status["generation"] != plan.generation or status["error"]:
            raise clock.NotYet(f"generation {status['generation']}, error {status['error'] or 'none'!r}")

    def ready() -> None:
        done = remote.run(cluster, node, _COMING, timeout=seconds / 3)
        if done.ok and done.out.strip() != "{}":
            raise clock.NotYet(done.out.strip())

    try:
        remote.run(cluster, node, _BOOTED, timeout=seconds)  # a degraded one is for the verdicts
        wanted = f"{node} to run generation {plan.generation}" if plan else ""
        clock.until(runs, what=wanted, within=seconds, every=0.25)
        if plan is not None:
            clock.until(ready, what=f"the pods that come, as {node} sees them", within=_LONGEST, every=0.25)
    except (RigError, ValueError, KeyError) as error:
        return f"{node}: {error}"
    return ""
