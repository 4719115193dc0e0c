"""A user's own tests against real nodes; loaded by pytest at every start, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable
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
_WANTED = {"cluster", "node", "service", "verdicts", "probe"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--harness-…`` and the same as ini options ``harness_…``."""
    group = parser.getgroup("harness", "NodePort harness")
    for name, text in OPTIONS.items():
        group.addoption(f"--harness-{name}", help=text)
        parser.addini(f"harness_{name}", text)
    group.addoption("--harness-manifests", nargs="+", metavar="PATH", help="manifests applied before the tests")
    parser.addini("harness_manifests", "manifests applied before the tests", type="args")


def nodes_of(config: pytest.Config) -> Nodes:
    """The nodes of this session, made and given their manifests by the first that asks."""
    if _NODES not in config.stash:
        from harness.pytest_plugin import nodes  # noqa: PLC0415 - costs nothing when no test asks

        config.stash[_NODES] = nodes.get(config)
    return config.stash[_NODES]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case for each node, Service port, or node and check."""
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


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Any:
    """All nodes: :class:`harness.model.cluster.Cluster`."""
    return nodes_of(pytestconfig).cluster


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Any:
    """Each node in turn: :class:`harness.model.cluster.Node`."""
    return request.param


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
        report.user_properties.extend(nodes.properties())
        if report.failed:
            callspec = getattr(item, "callspec", None)
            report.sections.extend(nodes.sections(callspec.params if callspec else {}))
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist whose session it works for."""
    import os  # noqa: PLC0415

    node.workerinput["harness_owner"] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """The session's first process removes the nodes that the session made, when all workers have ended."""
    given = config.getoption("--harness-driver", None) or config.getini("harness_driver")
    if not hasattr(config, "workerinput") and (
        _NODES in config.stash or given or config.pluginmanager.hasplugin("dsession")
    ):
        from harness.pytest_plugin import nodes  # noqa: PLC0415

        nodes.end(config)
