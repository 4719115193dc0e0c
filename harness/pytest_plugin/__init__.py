"""A user's own tests against real nodes; loaded by pytest at every start, so nothing heavy is imported here."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.pytest_plugin.nodes import Nodes

OPTIONS = {
    "driver": "which driver's nodes are tested",
    "lab": "the lab's name",
    "inventory": "the Ansible inventory of your own machines",
}
_NODES = pytest.StashKey["Nodes"]()
OWNER = pytest.StashKey[str]()
"""What this session, with all its workers, is called in the lab's folder; drawn anew for every session."""
_WANTED = {"cluster", "node", "node_host", "service", "verdicts", "probe"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--harness-…`` and the same as ini options ``harness_…``."""
    group = parser.getgroup("harness", "NodePort harness")
    for name, text in OPTIONS.items():
        group.addoption(f"--harness-{name}", help=text)
        parser.addini(f"harness_{name}", text)
    group.addoption("--harness-manifests", nargs="+", metavar="PATH", help="manifests applied before the tests")
    parser.addini("harness_manifests", "manifests applied before the tests", type="args")


def pytest_configure(config: pytest.Config) -> None:
    """Name the session; a worker of xdist belongs to the session that started it."""
    config.stash[OWNER] = str(getattr(config, "workerinput", {}).get("harness_owner") or secrets.token_hex(6))


def nodes_of(config: pytest.Config) -> Nodes:
    """The nodes of this session, made and given their manifests by the first that asks."""
    if _NODES not in config.stash:
        from harness.pytest_plugin import nodes  # noqa: PLC0415 - costs nothing when no test asks

        config.stash[_NODES] = nodes.get(config)
    return config.stash[_NODES]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case for each node, Service port, or node and check; testinfra's own ``host`` is each node in turn too."""
    if "_testinfra_host" in metafunc.fixturenames and _in_use(metafunc):
        nodes_of(metafunc.config).lead_testinfra(metafunc.config)
    kinds: dict[str, Callable[[Nodes], dict[str, Any]]] = {
        "node": lambda nodes: nodes.by_name(),
        "service": lambda nodes: nodes.services(),
        "verdicts": lambda nodes: nodes.verdicts(),
    }
    for name, cases in kinds.items():
        fixture = metafunc._arg2fixturedefs.get(name, [None])[-1]  # noqa: SLF001 - a user's own `node` stays theirs
        if fixture is not None and fixture.func.__module__ == __name__:
            found = cases(nodes_of(metafunc.config))
            metafunc.parametrize(name, list(found.values()), ids=list(found), indirect=True, scope="session")


def _in_use(metafunc: pytest.Metafunc) -> bool:
    """Whether a test that asks for testinfra's ``host`` means our nodes, and not the machine that runs pytest."""
    if {"node", "node_host"} & set(metafunc.fixturenames):
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: `host` beside `node` would pair every node with every "
                                "other; ask for `node_host`, or for `host` alone")  # fmt: skip
    config = metafunc.config
    given = any(config.getoption(f"--harness-{n}") or config.getini(f"harness_{n}") for n in (*OPTIONS, "manifests"))
    return given or bool(_WANTED & set(metafunc.fixturenames))


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Any:
    """All nodes: :class:`harness.model.cluster.Cluster`."""
    return nodes_of(pytestconfig).cluster


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Any:
    """Each node in turn: :class:`harness.model.cluster.Node`."""
    return request.param


@pytest.fixture(scope="session")
def node_host(pytestconfig: pytest.Config, node: Any) -> Any:
    """Each node in turn as testinfra's ``host``, over the lab's ``ssh_config``."""
    return nodes_of(pytestconfig).host(node)


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Any:
    """Each nodePort in turn: :class:`harness.model.plan.PlannedPort`."""
    return request.param


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> Any:
    """The verdicts of one check on one node: a tuple of :class:`harness.model.verdict.Verdict`."""
    return request.param


@pytest.fixture(scope="session")
def probe(pytestconfig: pytest.Config) -> Any:
    """``probe(node, service, vantage="outside", attempts=30)`` gives a Counter: answers by pod, failures by outcome."""
    return nodes_of(pytestconfig).probe


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failure of a node's case carries the node's journal and ruleset; every case, what it was found with."""
    report = yield
    nodes = item.config.stash.get(_NODES, None)
    if nodes is not None and report.when == "call" and _WANTED & set(getattr(item, "fixturenames", ())):
        item.user_properties.extend(nodes.properties())  # JUnit takes those of the report that comes last
        if report.failed:
            callspec = getattr(item, "callspec", None)
            report.sections.extend(nodes.sections(callspec.params if callspec else {}))
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist whose session it works for."""
    node.workerinput["harness_owner"] = node.config.stash[OWNER]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The session's first process removes the nodes that the session made, when all workers have ended."""
    if hasattr(config, "workerinput") or OWNER not in config.stash:
        return
    for file in Path(config.invocation_params.dir).glob(f".harness/*/pytest-{config.stash[OWNER]}.json"):
        from harness.pytest_plugin import nodes  # noqa: PLC0415 - costs nothing when no test asked

        nodes.end(config, file)
