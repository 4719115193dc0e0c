"""A user's own tests against real nodes; loaded by pytest at every start, so nothing heavy is imported here.

What is tested is foreseen when tests are collected, from inventory and manifests; nodes are made when the first
test asks for them. What cannot be tested ends the session before any test: a usage error, exit code 4.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.pytest_plugin.foreseen import Foreseen
    from harness.pytest_plugin.nodes import Nodes

OPTIONS = {
    "driver": "which driver's nodes are tested",
    "lab": "the lab's name",
    "inventory": "the Ansible inventory of your own machines",
}
_WANTED = {"cluster", "node", "node_host", "service", "verdicts", "probe"}
_OWNER: pytest.StashKey[tuple[str, int]] = pytest.StashKey()
"""What this session, with all its workers, is called in the lab's record, and its first process."""
_FORESEEN: pytest.StashKey[Foreseen] = pytest.StashKey()
_REFUSED: pytest.StashKey[list[str]] = pytest.StashKey()
_REFUSED_BY_WORKERS: pytest.StashKey[list[str]] = pytest.StashKey()
_NODES: pytest.StashKey[Nodes] = pytest.StashKey()
_BROKEN: pytest.StashKey[str] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--harness-…`` and the same as ini options ``harness_…``."""
    group = parser.getgroup("harness", "NodePort harness")
    for name, text in OPTIONS.items():
        group.addoption(f"--harness-{name}", help=text)
        parser.addini(f"harness_{name}", text)
    group.addoption("--harness-manifests", action="append", metavar="PATH",
                    help="manifests applied before the tests; may be repeated")  # fmt: skip
    parser.addini("harness_manifests", "manifests applied before the tests", type="args")


def pytest_configure(config: pytest.Config) -> None:
    """Name the session; a worker of xdist belongs to the session that started it."""
    given = getattr(config, "workerinput", {}).get("harness_owner")
    config.stash[_OWNER] = given or (secrets.token_hex(6), os.getpid())
    config.stash[_REFUSED], config.stash[_REFUSED_BY_WORKERS] = [], []
    if given is None and any(config.getoption(f"--harness-{name}") for name in (*OPTIONS, "manifests")):
        _foreseen(config)  # options that make no sense are refused also when no test asks for nodes
        _refuse(config)


def _foreseen(config: pytest.Config) -> Foreseen | None:
    """What will be tested, worked out once; ``None``, and a refusal, when that cannot be."""
    if _FORESEEN not in config.stash:
        from harness.errors import HarnessError  # noqa: PLC0415 - costs nothing when no test asks
        from harness.pytest_plugin import foreseen  # noqa: PLC0415

        if config.stash[_REFUSED]:
            return None
        try:
            config.stash[_FORESEEN] = foreseen.look(config)
        except HarnessError as error:
            config.stash[_REFUSED].append(str(error))
            return None
    return config.stash[_FORESEEN]


def _refuse(config: pytest.Config) -> None:
    """End the session when anything was refused; a worker tells the first process, which does it."""
    refused = config.stash[_REFUSED]
    if not refused:
        return
    said = "harness: " + "\n".join(dict.fromkeys(refused))
    if not hasattr(config, "workeroutput"):
        raise pytest.UsageError(said)
    config.workeroutput["harness_refused"] = said


def nodes_of(config: pytest.Config) -> Nodes:
    """The nodes of this session, made and given their manifests by the first that asks."""
    if _NODES not in config.stash and _BROKEN not in config.stash:
        from harness.errors import HarnessError  # noqa: PLC0415 - costs nothing when no test asks
        from harness.pytest_plugin import nodes  # noqa: PLC0415

        try:
            config.stash[_NODES] = nodes.get(config, *config.stash[_OWNER])
        except HarnessError as error:
            config.stash[_BROKEN] = f"harness: {error}"
    if _BROKEN in config.stash:
        pytest.fail(config.stash[_BROKEN], pytrace=False)
    return config.stash[_NODES]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case for each node, nodePort, or node and check; testinfra's own ``host`` is each node in turn too."""
    config, asked = metafunc.config, _asked(metafunc)
    hosts = "_testinfra_host" in metafunc.fixturenames and (asked or _given(config))
    known = _foreseen(config) if asked or hosts else None
    if known is None:
        return
    if hosts and {"node", "node_host"} & asked:
        config.stash[_REFUSED].append(f"{metafunc.definition.nodeid}: `host` beside `node` would pair every node with "
                                      "every other; ask for `node_host`, or for `host` alone")  # fmt: skip
    elif hosts:
        config.option.hosts = ",".join(f"ssh://{name}" for name in known.nodes())
        config.option.ssh_config = str(known.cluster.ssh_config)
    kinds: dict[str, Callable[[], Sequence[str] | dict[str, str]]] = {
        "node": known.nodes, "service": known.services, "verdicts": known.checks,
    }  # fmt: skip
    for name in sorted(asked & set(kinds)):
        cases = _or_refused(config, kinds[name])
        values = list(cases.values()) if isinstance(cases, dict) else list(cases)
        metafunc.parametrize(name, values, ids=list(cases), indirect=True, scope="session")


def _asked(metafunc: pytest.Metafunc) -> set[str]:
    """Our fixtures that a test asks for; a user's own ``node`` stays theirs."""
    known = metafunc._arg2fixturedefs  # noqa: SLF001 - nothing public tells whose a fixture is
    return {name for name in _WANTED & set(metafunc.fixturenames)
            if name in known and known[name][-1].func.__module__ == __name__}  # fmt: skip


def _given(config: pytest.Config) -> bool:
    """Whether anything says that the nodes are ours, so that testinfra's ``host`` is not this machine."""
    return any(config.getoption(f"--harness-{name}") or config.getini(f"harness_{name}")
               for name in (*OPTIONS, "manifests"))  # fmt: skip


def _or_refused(config: pytest.Config, ask: Callable[[], Sequence[str] | dict[str, str]]) -> Any:
    from harness.errors import HarnessError  # noqa: PLC0415 - costs nothing when no test asks

    try:
        return ask()
    except HarnessError as error:
        config.stash[_REFUSED].append(str(error))
        return ["refused"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """End the session before any test runs when something cannot be tested."""
    if config.stash[_REFUSED]:
        items.clear()
        _refuse(config)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Any:
    """All nodes: :class:`harness.model.cluster.Cluster`."""
    return nodes_of(pytestconfig).cluster


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Any:
    """Each node in turn: :class:`harness.model.cluster.Node`."""
    return nodes_of(request.config).node(request.param)


@pytest.fixture(scope="session")
def node_host(pytestconfig: pytest.Config, node: Any) -> Any:
    """Each node in turn as testinfra's ``host``, over the lab's ``ssh_config``."""
    return nodes_of(pytestconfig).host(node)


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Any:
    """Each nodePort in turn: :class:`harness.model.plan.PlannedPort`."""
    return nodes_of(request.config).service(request.param)


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> Any:
    """The verdicts of one check on one node: a tuple of :class:`harness.model.verdict.Verdict`."""
    return nodes_of(request.config).verdicts(request.param)


@pytest.fixture(scope="session")
def probe(pytestconfig: pytest.Config) -> Any:
    """``probe(node, service, vantage="outside", attempts=30)`` gives a Counter: answers by pod, failures by outcome."""
    return nodes_of(pytestconfig).probe


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before testinfra's ``host`` is handed out, its node is there, and asked as the user who may answer."""
    host = _params(item).get("_testinfra_host")
    if host is not None and _FORESEEN in item.config.stash and host.backend.NAME == "ssh":
        from harness.probes import become  # noqa: PLC0415 - not before a test asks for nodes

        become.root(nodes_of(item.config).cluster, host.backend.hostname).teach(host.backend)


def _params(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec else {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failure of a node's case carries the node's journal and ruleset; every case, what it was found with."""
    report = yield
    nodes = item.config.stash.get(_NODES, None)
    if nodes is None or not (_WANTED | {"_testinfra_host"}) & set(getattr(item, "fixturenames", ())):
        return report
    if report.when == "setup":
        item.user_properties.extend(nodes.properties(_params(item)))  # JUnit takes them from the case's last report
    if report.failed:
        report.sections.extend(nodes.sections(_params(item)))
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist whose session it works for."""
    node.workerinput["harness_owner"] = node.config.stash[_OWNER]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what a worker of xdist refused."""
    said = getattr(node, "workeroutput", {}).get("harness_refused")
    if said:
        node.config.stash[_REFUSED_BY_WORKERS].append(said)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """What workers refused is a usage error of the whole session."""
    if session.config.stash[_REFUSED_BY_WORKERS]:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say once what all workers refused."""
    refused = config.stash[_REFUSED_BY_WORKERS]
    for said in dict.fromkeys(refused):
        terminalreporter.write_line(f"ERROR: {said}", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The session's first process removes the nodes that the session made, when all workers have ended."""
    if hasattr(config, "workerinput") or _OWNER not in config.stash:
        return
    owner = config.stash[_OWNER][0]
    for file in Path(config.invocation_params.dir).glob(".harness/*/pytest.json"):
        if owner in file.read_text(encoding="utf-8"):
            _end(config, file.parent, owner)


def _end(config: pytest.Config, home: Path, owner: str) -> None:
    from harness.errors import HarnessError  # noqa: PLC0415 - costs nothing when no test asked
    from harness.pytest_plugin import nodes  # noqa: PLC0415

    try:
        nodes.end(home, owner)
    except HarnessError as error:
        config.get_terminal_writer().line(f"harness: {error}", red=True)
