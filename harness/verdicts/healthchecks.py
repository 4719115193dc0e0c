"""What ``healthCheckNodePort`` has to tell load balancers: kube-proxy's codes, headers and JSON. Pure.

Every node is asked from outside: 200 and the number of the Service's own endpoints there that stay, or 503 and none
(pkg/proxy/healthcheck/service_health.go). What is wrong with such an answer is one word for all of it, so the answer as
a whole is what an endpoint's name is elsewhere: there is one right one.
"""

from __future__ import annotations

from harness.model.observation import OUTSIDE, Ask, Speak, Target
from harness.model.plan import Plan, PlannedNode, PlannedService
from harness.model.workload import Protocol
from harness.verdicts.expectations import Cell, CellKey, Depth, Expected, Way

ASK = Ask(speak=Speak.HEALTH, request="/healthz")


def health_checks(plan: Plan) -> tuple[Cell, ...]:
    """A cell for every node and Service with a health check port."""
    return tuple(
        _cell(service, node) for service in plan.forwarded if service.health_check_node_port for node in plan.nodes
    )


def answer(service: str, endpoints: int) -> str:
    """The one right answer, as ``probes.answers`` puts it: ``200 default/web 2``."""
    return f"{200 if endpoints else 503} {service} {endpoints}"


def _cell(service: PlannedService, node: PlannedNode) -> Cell:
    own = {
        end.address for port in service.ports for end in port.endpoints if end.node == node.name and not end.terminating
    }
    target = Target(node.name, node.address, service.health_check_node_port, Protocol.TCP)
    right = answer(service.key, len(own))
    told = Expected(right, right, "", node.name, node.address, target.port)
    key = CellKey(OUTSIDE, target)
    return Cell(key, service.key, target.port, Depth.HEALTH, (told,), ask=ASK, way=Way.HEALTH)
