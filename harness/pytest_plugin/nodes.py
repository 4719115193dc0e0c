"""The nodes of a pytest session, shared by its workers: brought up, given their manifests and surveyed once."""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import testinfra

from harness.errors import HarnessError
from harness.model.cluster import Cluster, Node
from harness.model.observation import OUTSIDE, Job, Outcome, Target
from harness.model.plan import Plan, PlannedPort
from harness.model.verdict import Verdict
from harness.probes import ssh
from harness.probes.prober import open_probers
from harness.pytest_plugin import OWNER
from harness.session import choice, collect, nodes, record, remote, run, settings
from harness.session.lab import Lab

Result = TypeVar("Result")


@dataclass(slots=True)
class Shared:
    """What the workers of a session tell each other."""

    made: bool
    ready: bool = False
    verdicts: tuple[Verdict, ...] | None = None


@dataclass(slots=True)
class Nodes:
    """The nodes that run, and what was applied to them."""

    lab: Lab
    cluster: Cluster
    plan: Plan | None
    owner: str

    def by_name(self) -> dict[str, Node]:
        """Every node by its name."""
        return {node.name: node for node in self.cluster.nodes}

    def services(self) -> dict[str, PlannedPort]:
        """Every nodePort, by the name of its Service and its number."""
        found = {
            f"{service.namespace}/{service.name}:{port.node_port}/{port.protocol}": port
            for service in (self.plan.services if self.plan else ())
            for port in service.ports
            if port.node_port
        }
        if not found:
            raise pytest.UsageError("no nodePort was applied to these nodes: give --harness-manifests PATH")
        return found

    def verdicts(self) -> dict[str, tuple[Verdict, ...]]:
        """The verdicts of one survey, by node and check."""
        with _shared(self.lab, self.owner) as file:
            shared = msgspec.json.decode(file.read_bytes(), type=Shared)
            if shared.verdicts is None:
                shared.verdicts = _asked(lambda: run.verify_only(self.lab, lambda _: None)).verdicts
                file.write_bytes(msgspec.json.encode(shared))
        found: dict[str, tuple[Verdict, ...]] = {}
        for verdict in shared.verdicts:
            key = f"{verdict.node or 'cluster'}-{verdict.check}"
            found[key] = (*found.get(key, ()), verdict)
        return found

    def probe(self, node: Node, service: PlannedPort, vantage: str = OUTSIDE, attempts: int = 30) -> Counter[str]:
        """Answers by the pod that gave them, failures by their outcome.

        Raises :class:`harness.errors.RigError` when the vantage point is lost: that says nothing of the node.
        """
        assert service.node_port is not None  # noqa: S101 - only nodePorts are handed out
        job = Job(vantage, Target(node.name, node.address, service.node_port, service.protocol), attempts)
        with open_probers(self.cluster, [vantage]) as probers:
            asked = probers.ask({vantage: [job]})
            if probers.lost:
                pytest.fail(f"no probe was possible: {probers.lost}", pytrace=False)
        return Counter(a.responder if a.outcome is Outcome.OK else str(a.outcome) for a in asked.attempts)

    def host(self, node: Node) -> Any:
        """testinfra's view of a node. The scheme is always given: without one, testinfra would ask this machine."""
        config = self.cluster.ssh_config
        sudo = ssh.user_of(config, node.name) != "root"
        return testinfra.get_host(
            f"ssh://{node.name}", ssh_config=str(config), ssh_extra_args="-o BatchMode=yes", sudo=sudo
        )

    def lead_testinfra(self, config: pytest.Config) -> None:
        """Have testinfra's ``host`` be each of our nodes: without hosts it would test the machine that runs pytest."""
        config.option.hosts = ",".join(f"ssh://{node.name}" for node in self.cluster.nodes)
        config.option.ssh_config = str(self.cluster.ssh_config)
        config.option.sudo = any(ssh.user_of(self.cluster.ssh_config, n.name) != "root" for n in self.cluster.nodes)

    def properties(self) -> list[tuple[str, str]]:
        """Driver and versions, for JUnit; ``kernel`` is this machine's own."""
        return [("driver", self.cluster.driver), *record.provenance().items()]

    def sections(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The journal and ruleset of the node of a case, of all nodes when the case has none."""
        given = [params.get("node"), *params.get("verdicts", ())]
        names = {value.name if isinstance(value, Node) else value.node for value in given if value} & set(
            self.by_name()
        )
        for name in sorted(names or self.by_name()):
            for title, words in (("journal", (*collect.QUESTIONS["journal.txt"], "--lines=80")),
                                 ("ruleset", collect.QUESTIONS["ruleset.nft"])):  # fmt: skip
                try:
                    text = remote.run(self.cluster, name, words).out
                except HarnessError as error:
                    text = f"no answer: {error}"
                yield f"{title} of {name}", collect.scrub(text.encode()).decode(errors="replace")


def get(config: pytest.Config) -> Nodes:
    """The session's nodes; raises :class:`pytest.UsageError` when there are none."""
    return _asked(lambda: _get(config))


def end(config: pytest.Config, file: Path) -> None:
    """Remove the nodes if this session made them; ``file`` is what its workers told each other."""
    made = msgspec.json.decode(file.read_bytes(), type=Shared).made
    file.unlink()
    if made:
        lab = _asked(lambda: _lab(config))
        with lab.changing():
            nodes.down(lab, lambda _: None)


def _get(config: pytest.Config) -> Nodes:
    lab, owner = _lab(config), _owner(config)
    paths = config.getoption("--harness-manifests") or config.getini("harness_manifests")
    with _shared(lab, owner) as file:
        known = msgspec.json.decode(file.read_bytes(), type=Shared) if file.exists() else None
        if known is None:
            known = Shared(lab.driver.makes_nodes and lab.driver.status() is None)
            file.write_bytes(msgspec.json.encode(known))  # before anything is made, so that it is removed in any case
        if not known.ready:
            with lab.changing():
                nodes.complain(nodes.up(lab, None, lambda _: None))
            if paths:
                run.apply_only(lab, paths, lambda _: None)
            known.ready = True
            file.write_bytes(msgspec.json.encode(known))
        cluster = lab.cluster()
    if not cluster.nodes:
        raise pytest.UsageError("there are no nodes to test")
    return Nodes(lab, cluster, lab.applied_plan(cluster), owner)


def _lab(config: pytest.Config) -> Lab:
    given = {n: config.getoption(f"--harness-{n}") or config.getini(f"harness_{n}") or None
             for n in ("driver", "lab", "inventory")}  # fmt: skip
    folder = Path(config.invocation_params.dir)
    kept = settings.read(folder)
    chosen = choice.choose(folder, kept, given["driver"], given["inventory"])
    return Lab.at(folder, given["lab"] or kept.lab or "default", chosen.driver, chosen.inventory)


def _owner(config: pytest.Config) -> str:
    return config.stash[OWNER]


@contextmanager
def _shared(lab: Lab, owner: str) -> Iterator[Path]:
    lab.home.mkdir(parents=True, exist_ok=True)
    with (lab.home / "pytest.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lab.home / f"pytest-{owner}.json"


def _asked(ask: Callable[[], Result]) -> Result:
    try:
        return ask()
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
