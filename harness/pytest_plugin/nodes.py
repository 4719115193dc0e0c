"""The nodes of a pytest session, shared by its workers: brought up, given their manifests and surveyed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, RigError
from harness.model.cluster import Cluster, Node
from harness.model.observation import OUTSIDE, Job, Outcome, Target, Versions
from harness.model.plan import Plan, PlannedPort
from harness.model.verdict import Verdict
from harness.probes import state
from harness.probes.prober import open_probers
from harness.pytest_plugin import foreseen, shared
from harness.session import collect, inspect, nodes, record, remote, run
from harness.session.lab import Lab

_JOURNAL_LINES = 80


@dataclass(slots=True)
class Nodes:
    """The nodes that run, and what was applied to them."""

    lab: Lab
    cluster: Cluster
    plan: Plan | None
    owner: str
    versions: dict[str, Versions] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.cluster.nodes if node.name == name)

    def service(self, key: str) -> PlannedPort:
        """The nodePort that was foreseen by this key."""
        return foreseen.ports(self.plan)[key]

    def verdicts(self, key: str) -> tuple[Verdict, ...]:
        """The verdicts of one node and check, of one survey for the whole session.

        A case without a verdict fails, for what was to be judged was not; where only a sample is drawn, it is skipped.
        """
        found: dict[str, list[Verdict]] = {}
        for verdict in self._survey():
            found.setdefault(foreseen.key_of(verdict), []).append(verdict)
        if key == foreseen.UNFORESEEN:
            known = set(foreseen.Foreseen(self.lab, self.cluster, self.plan).checks())
            return tuple(one for name, verdicts in found.items() if name not in known for one in verdicts)
        if key not in found and "cluster-sample" in found:
            pytest.skip(found["cluster-sample"][0].summary)
        if key not in found:
            broken = "; ".join(one.summary for one in found.get("cluster-rig", ())) or "its cells were not probed"
            pytest.fail(f"the survey has no verdict on {key}: {broken}", pytrace=False)
        return tuple(found[key])

    def _survey(self) -> tuple[Verdict, ...]:
        with shared.record(self.lab.home) as known:
            mine = known.sessions[self.owner]
            if mine.verdicts is None:
                mine.verdicts = run.verify_only(self.lab, lambda _: None).verdicts
            return mine.verdicts

    def probe(self, node: Node, service: PlannedPort, vantage: str = OUTSIDE, attempts: int = 30) -> Counter[str]:
        """Answers by the pod that gave them, failures by their outcome; fails when the vantage point is lost."""
        assert service.node_port is not None  # noqa: S101 - only nodePorts are handed out
        job = Job(vantage, Target(node.name, node.address, service.node_port, service.protocol), attempts)
        with open_probers(self.cluster, [vantage]) as probers:
            asked = probers.ask({vantage: [job]})
            if probers.lost:
                pytest.fail(f"no probe was possible: {probers.lost}", pytrace=False)
        return Counter(a.responder if a.outcome is Outcome.OK else str(a.outcome) for a in asked.attempts)

    def host(self, node: Node) -> Any:
        """testinfra's view of a node, as root."""
        return state.host(self.cluster, node.name)

    def properties(self, params: Mapping[str, Any]) -> list[tuple[str, str]]:
        """For JUnit: driver, what the nodes of a case run on, and what runs on this machine."""
        if not self.versions:
            self.versions.update(inspect.versions_of(self.cluster))
        said = [(f"{name} {field}", getattr(self.versions[name], field))
                for name in self.concerned(params) for field in Versions.__dataclass_fields__]  # fmt: skip
        here = [(f"tester {name}", value) for name, value in record.provenance().items()]
        return [("driver", self.cluster.driver), *said, *here]

    def concerned(self, params: Mapping[str, Any]) -> list[str]:
        """The nodes that a case is about; all, when it is about none of its own."""
        host = params.get("_testinfra_host")
        words = [params.get("node"), getattr(getattr(host, "backend", None), "hostname", None)]
        known = [node.name for node in self.cluster.nodes]
        check = str(params.get("verdicts", ""))
        words += [name for name in known if check.startswith(f"{name}-")]
        return [name for name in known if name in words] or known

    def sections(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The journal and ruleset of the nodes that a case is about."""
        lines = f"--lines={_JOURNAL_LINES}"
        questions = {"journal": (*collect.QUESTIONS["journal.txt"], lines), "ruleset": collect.QUESTIONS["ruleset.nft"]}
        for name in self.concerned(params):
            for title, words in questions.items():
                try:
                    done = remote.run(self.cluster, name, words)
                    text = done.out + done.err
                except HarnessError as error:
                    text = f"no answer: {error}"
                yield f"{title} of {name}", collect.scrub(text.encode()).decode(errors="replace")


def get(config: pytest.Config, owner: str, pid: int) -> Nodes:
    """The session's nodes, made and given their manifests by the first process that asks.

    Raises :class:`HarnessError`, to every process the same.
    """
    known = foreseen.look(config)
    with shared.record(known.lab.home) as found:
        mine = found.sessions.setdefault(owner, shared.Session(pid, shared.began(pid)))
        if mine.broken:
            raise RigError(mine.broken)
        if not mine.ready:
            try:
                _prepare(known, found, owner, foreseen.manifests_of(config))
            except HarnessError as error:
                mine.broken = str(error)
                raise
            mine.ready = True
    cluster = known.lab.cluster()
    return Nodes(known.lab, cluster, known.lab.applied_plan(cluster), owner)


def _prepare(known: foreseen.Foreseen, found: shared.Record, owner: str, paths: Sequence[str]) -> None:
    lab = known.lab
    others = [session.pid for name, session in found.sessions.items() if name != owner]
    if others and paths:
        raise RigError(f"lab {lab.name!r} is used by another pytest session, process {others[0]}",
                       hint="wait for it to end, or use another lab: --harness-lab NAME")  # fmt: skip
    present = lab.driver.status()
    if lab.driver.makes_nodes and present is None:
        found.made, found.driver, found.uid = True, lab.driver_name, ""
    elif present is None or found.uid != present.uid:
        found.made = False  # somebody else's nodes
    shared.keep(lab.home, found)  # before anything is made, so that it is removed in any case
    with lab.changing():
        cluster = nodes.up(lab, None, lambda _: None)
    if found.made:
        found.uid = cluster.uid
    if paths:
        run.apply_only(lab, paths, lambda _: None)


def end(home: Path, owner: str) -> None:
    """End a session; the last one removes the nodes, if a session made them.

    Raises :class:`HarnessError`.
    """
    with shared.record(home) as found:
        if found.sessions.pop(owner, None) is None or found.sessions or not found.made:
            return
        lab = Lab.at(home.parents[1], home.name, found.driver)
        with lab.changing():
            nodes.down(lab, lambda _: None)
        found.made = False
