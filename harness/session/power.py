"""Nodes that boot anew, and then run by themselves what they had been given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.drivers import Power, Progress, boots
from harness.errors import DriverError, RigError, UsageError
from harness.model.cluster import Cluster, Node
from harness.model.progress import Listener, Step
from harness.session import settle
from harness.session.lab import Lab
from harness.support import clock


def reboot(lab: Lab, names: Sequence[str], listener: Listener) -> tuple[Node, ...]:
    """Reboot the nodes of these names, or all, properly; returns once they run again what they had been given.

    Raises :class:`UsageError` for a name that is not there, :class:`RigError`.
    """
    with lab.changing():
        power, cluster = _power(lab), lab.cluster()
        nodes = _named(cluster, names)
        before = boots.identities(cluster, nodes)
        if silent := [name for name, identity in before.items() if not identity]:
            raise RigError(f"{', '.join(silent)} cannot be asked to reboot: no answer to SSH",
                           hint="`harness reboot --hard` asks no node")  # fmt: skip
        return _boot(lab, cluster, power.reboot, nodes, power, listener)


def power_cycle(lab: Lab, names: Sequence[str], listener: Listener) -> tuple[Node, ...]:
    """The same, by cutting their power, whatever state they are in.

    Raises :class:`UsageError` for a name that is not there, :class:`RigError`.
    """
    with lab.changing():
        power, cluster = _power(lab), lab.cluster()
        return _boot(lab, cluster, power.power_cycle, _named(cluster, names), power, listener)


def _boot(lab: Lab, cluster: Cluster, how: Callable[[Sequence[Node], Progress], None], nodes: tuple[Node, ...],
          power: Power, listener: Listener) -> tuple[Node, ...]:  # fmt: skip
    before = boots.identities(cluster, nodes)
    began = clock.now().timestamp()
    how(nodes, lambda text: listener(Step(text)))
    listener(Step("waiting until they have booted"))
    try:
        boots.until_anew(cluster, before, power.boot_seconds, lambda node: power.console(node, began))
    except DriverError as error:
        raise DriverError(error.message, hint=power.anew) from None
    settle.settle(cluster, lab.applied_plan(cluster), listener)
    return nodes


def _power(lab: Lab) -> Power:
    driver = lab.driver
    if not isinstance(driver, Power):
        raise UsageError(
            f"the driver {lab.driver_name} does not reboot its nodes", hint="machines of your own: reboot them yourself"
        )
    return driver


def _named(cluster: Cluster, names: Sequence[str]) -> tuple[Node, ...]:
    known = {node.name: node for node in cluster.nodes}
    if strangers := [name for name in names if name not in known]:
        raise UsageError(f"there is no node {', '.join(strangers)}", hint=f"nodes: {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names)) or cluster.nodes
