"""Pods that come, go and come back, as one node sees them: real traffic, on the rig of ``test_nodeportd``."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from harness.support import clock, process
from tests.lab.nodeportd_rig import NODE, PODS, SIX, Rig, endpoint, inside, more, port, service, serving, state, whole

pytestmark = pytest.mark.lab

LATE = 81
"""The port of pods that a test starts and ends; those at port 80 are always there."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        yield rig


@pytest.fixture(params=["nftables", "socat"])
def any_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """The rig with each forwarder."""
    with Rig(tmp_path, request.param) as rig:
        yield rig


def check(address: str, number: int = LATE, kind: str = "tcp", **fields: object) -> dict[str, Any]:
    """The check of the pod at an address, every second."""
    return {
        "pod": f"default/pod-{address.replace(':', '.').rpartition('.')[2]}",
        "address": address,
        "kind": kind,
        "port": number,
        "path": "/readyz" if kind == "http" else "",
        "host": "",
        "headers": [],
        "scheme": "HTTP",
        "initial_delay_seconds": 0,
        "period_seconds": 1,
        "timeout_seconds": 1,
        "success_threshold": 1,
        "failure_threshold": 3,
        **fields,
    }


def asked(generation: int, checks: list[dict[str, Any]], *ports: dict[str, Any]) -> dict[str, Any]:
    """A state with these checks."""
    return {**state(generation, *ports), "checks": checks}


def pod(rig: Rig, address: str) -> AbstractContextManager[None]:
    """Within: the pod at this address serves."""
    return serving(rig.pod, address, LATE)


def unready(rig: Rig, *addresses: str, why: str = "", within: float = 10) -> dict[str, Any]:
    """Wait until exactly the pods at these addresses are held for not ready, and return the status."""
    wanted = {f"default/pod-{address.rpartition('.')[2]}" for address in addresses}

    def look() -> dict[str, Any]:
        said: dict[str, Any] = json.loads((rig.runtime / "status.json").read_text())
        if said["unready"].keys() != wanted or any(why not in each["why"] for each in said["unready"].values()):
            raise clock.NotYet(f"{said['unready']}; {rig.log.read_text()[-300:]}")
        return said

    return clock.until(look, what=f"{wanted} to be not ready", within=within, every=0.01)


def who(rig: Rig, number: int = 30008, times: int = 60) -> set[str]:
    return {rig.ask(number)[0] for _ in range(times)}


def test_a_dead_pod_leaves_within_its_period_and_comes_back(any_rig: Rig) -> None:
    rig = any_rig
    with pod(rig, PODS[0]), pod(rig, PODS[2]):
        with pod(rig, PODS[1]):
            checks = [check(each, failure_threshold=60) for each in PODS[:3]]
            rig.converge(asked(1, checks, port(30008, *PODS[:3], target=LATE)))
            assert who(rig) == set(PODS[:3])
        unready(rig, PODS[1], why="connection refused")  # after one period, not after sixty
        assert who(rig) == {PODS[0], PODS[2]}
        assert rig.nodeportd("drift", str(rig.file)).out == ""
        with pod(rig, PODS[1]):
            unready(rig)
            assert who(rig) == set(PODS[:3])


def test_only_failures_within_the_detection_time(rig: Rig) -> None:
    with pod(rig, PODS[0]), contextlib.ExitStack() as mortal:
        mortal.enter_context(pod(rig, PODS[1]))
        rig.converge(asked(1, [check(each) for each in PODS[:2]], port(30008, *PODS[:2], target=LATE)))
        with rig.load(30008) as seen:
            more(seen, 50)
            mortal.close()
            unready(rig, PODS[1])
            lost = seen.total() - seen["answered"]
            more(seen, 300)
        assert lost > 0, "the pod was not dead for anybody"
        # Each of the two clients had at most one connection under way when the rules changed.
        assert seen.total() - seen["answered"] <= lost + 2, seen


def test_no_ready_pod_means_refused(any_rig: Rig) -> None:
    rig = any_rig
    with pod(rig, PODS[0]):
        rig.converge(asked(1, [check(PODS[0])], port(30008, PODS[0], target=LATE)))
        assert who(rig, times=3) == {PODS[0]}
    unready(rig, PODS[0])
    with pytest.raises(ConnectionRefusedError):
        rig.ask(30008)
    if rig.backend == "nftables":  # by the rules, though somebody listens there
        with serving(rig.node, NODE, 30008), pytest.raises(ConnectionRefusedError):
            rig.ask(30008)


def test_a_pod_that_came_is_not_used_before_it_answers(any_rig: Rig) -> None:
    rig = any_rig
    rig.converge(
        asked(1, [check(PODS[0], 80), check(PODS[1])], port(30008, PODS[0]), port(30009, PODS[1], target=LATE))
    )
    unready(rig, PODS[1])
    with pytest.raises(ConnectionRefusedError):
        rig.ask(30009)
    assert rig.ask(30008)[0] == PODS[0]
    with pod(rig, PODS[1]):
        unready(rig)
        assert who(rig, 30009, 3) == {PODS[1]}


def test_healthy_pods_that_replace_others_are_in_the_first_rules(any_rig: Rig) -> None:
    rig = any_rig
    rig.converge(asked(1, [check(PODS[0], 80)], port(30008, PODS[0])))
    with rig.load(30008) as seen:
        for turn in range(40):
            address = PODS[(turn + 1) % 4]
            rig.converge(asked(2 + turn, [check(address, 80)], port(30008, address)))
        more(seen, 20)
    assert seen.keys() == {"answered"}, seen


def test_published_pods_serve_whether_ready_or_not(rig: Rig) -> None:
    """Also while they are terminating."""
    wanted = asked(1, [check(PODS[0])], port(30008, PODS[0]))
    (published,) = wanted["services"][0]["ports"][0]["endpoints"]
    for turn, terminating in enumerate((False, True)):
        published |= {"always": True, "terminating": terminating}
        rig.converge({**wanted, "generation": 1 + turn})
        unready(rig, PODS[0])
        assert rig.ask(30008)[0] == PODS[0]


def test_a_pod_that_this_node_cannot_reach_is_not_used_by_it(rig: Rig) -> None:
    """Silence counts by the thresholds: it may be a lost packet."""
    slow = [check(each, 80, failure_threshold=2) for each in PODS[:2]]
    rig.converge(asked(1, slow, port(30008, *PODS[:2])))
    assert who(rig) == set(PODS[:2])
    rule = f"ip daddr {PODS[1]} drop"
    rig.nft(f"table ip theirs {{ chain output {{ type filter hook output priority 0; {rule}; }}; }}")
    said = unready(rig, PODS[1], why="no connection within 1 s")
    assert said["unready"]["default/pod-3"]["coming"] is False
    rig.nft("delete table ip theirs")
    unready(rig)


# HTTP


class _Answer(BaseHTTPRequestHandler):
    server: Http

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers.items())))
        self.server.answer(self)

    def log_message(self, *_: Any) -> None:
        """Not a line for each question."""


class Http(ThreadingHTTPServer):
    """A pod's health endpoint, that answers with ``status``."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Answer)
        self.status = 200
        self.seen: list[tuple[str, dict[str, str]]] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.status:
            request.send_response(self.status)
            request.end_headers()
        else:
            with contextlib.suppress(ConnectionError):
                request.connection.recv(1)  # says nothing, until the other side gives up


@contextlib.contextmanager
def http(rig: Rig, address: str, number: int = 8080) -> Iterator[Http]:
    with inside(rig.pod):
        server = Http((address, number))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_status_decides_and_thresholds_damp(rig: Rig) -> None:
    with http(rig, PODS[0]) as server:
        asks = check(PODS[0], 8080, "http", failure_threshold=2, success_threshold=2, path="/ready?all=1",
                     host="web.example", headers=[{"name": "X-Probe", "value": "a b"}])  # fmt: skip
        rig.converge(asked(1, [asks], port(30008, *PODS[:2])))
        unready(rig)
        path, headers = server.seen[0]
        assert (path, headers["Host"], headers["X-Probe"]) == ("/ready?all=1", "web.example", "a b")
        server.status = 503
        begun = len(server.seen)
        said = unready(rig, PODS[0], why="HTTP 503 for /ready?all=1")
        assert len(server.seen) - begun == 2
        assert said["unready"]["default/pod-2"]["coming"] is False
        assert who(rig) == {PODS[1]}
        server.status = 302
        begun = len(server.seen)
        unready(rig)
        assert len(server.seen) - begun == 2
        assert who(rig) == set(PODS[:2])


def test_a_pod_that_does_not_answer_in_time_is_not_ready(rig: Rig) -> None:
    with http(rig, PODS[0]) as server:
        server.status = 0
        rig.converge(asked(1, [check(PODS[0], 8080, "http")], port(30008, *PODS[:2])))
        unready(rig, PODS[0], why="no HTTP answer within 1 s")
        server.status = 200
        unready(rig)


def test_a_pod_is_in_rotation_in_the_families_in_which_it_answers(tmp_path: Path) -> None:
    with Rig(tmp_path, net=SIX) as rig, contextlib.ExitStack() as serve:
        for address in (PODS[0], PODS[1], SIX.pods[1]):
            serve.enter_context(pod(rig, address))
        ends = [endpoint(address, LATE) for address in (*PODS[:2], *SIX.pods[:2])]
        both = service("web", {**port(30008), "endpoints": ends}, ip_families=["IPv4", "IPv6"])
        wanted = {**whole(1, both, addresses=(NODE, SIX.node)), "checks": [check(end["address"]) for end in ends]}
        rig.converge(wanted)
        held = rig.status(generation=1)["unready"]
        assert {name: each["why"] for name, each in held.items()} == {"default/pod-2 (IPv6)": "connection refused"}
        assert {rig.ask(30008, address=NODE)[0] for _ in range(60)} == set(PODS[:2])
        assert {rig.ask(30008)[0] for _ in range(20)} == {SIX.pods[1]}
        with pod(rig, SIX.pods[0]):
            unready(rig)
            assert {rig.ask(30008)[0] for _ in range(60)} == set(SIX.pods[:2])


# Restarts and other states


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_changes_nothing_of_what_is_known(rig: Rig, how: signal.Signals) -> None:
    """A pod that needs many successes, and one that fails: both are what they were."""
    slow = check(PODS[0], 80, success_threshold=60, period_seconds=60)
    rig.converge(asked(1, [check(PODS[0], 80), check(PODS[1])], port(30008, *PODS[:2], target=80)))
    unready(rig, PODS[1])
    rig.converge(asked(2, [slow, check(PODS[1], period_seconds=60, failure_threshold=60)], port(30008, *PODS[:2])))
    before = unready(rig, PODS[1])
    with rig.load(30008) as seen:
        more(seen, 20)
        rig.stop(how)
        with rig.replacing():
            rig.serve()
        more(seen, 20)
    assert seen.keys() == {"answered"}, seen
    after = unready(rig, PODS[1])
    assert after["ready"] == before["ready"] == ["default/pod-2"]


def test_without_memory_healthy_pods_are_found_before_rules_change(rig: Rig) -> None:
    rig.converge(asked(1, [check(each, 80) for each in PODS], port(30008, *PODS)))
    with rig.load(30008) as seen:
        for left in ("", "{", '{"ready": 3, "unready": []}'):
            rig.stop(signal.SIGKILL)
            (rig.runtime / "status.json").write_text(left)
            rig.serve()
            _await_status(rig, left)
            assert not rig.status(generation=1)["unready"]
            more(seen, 20)
    assert seen.keys() == {"answered"}, seen


def test_a_pod_whose_check_goes_is_ready_and_one_at_another_address_is_new(rig: Rig) -> None:
    rig.converge(asked(1, [check(PODS[0])], port(30008, PODS[0])))
    unready(rig, PODS[0])
    rig.converge(asked(2, [], port(30008, PODS[0])))
    unready(rig)
    assert rig.ask(30008)[0] == PODS[0]
    moved = {**check(PODS[1]), "pod": "default/pod-2"}
    rig.converge(asked(3, [check(PODS[0], 80)], port(30008, PODS[0])))
    unready(rig)
    rig.converge(asked(4, [moved], port(30008, PODS[0])))
    assert unready(rig, PODS[0])["unready"]["default/pod-2"]["coming"] is True


def test_a_refused_state_does_not_stop_the_checks_and_is_still_told(rig: Rig) -> None:
    with pod(rig, PODS[1]):
        with pod(rig, PODS[0]):
            good = asked(1, [check(each) for each in PODS[:2]], port(30008, *PODS[:2], target=LATE))
            rig.converge(good)
            text = json.dumps(good).encode()
            for length in range(0, len(text), len(text) // 20):
                rig.give(text[:length])
            rig.status(generation=1, error="is refused")
        said = unready(rig, PODS[0])
        assert "is refused" in said["error"]
        assert who(rig) == {PODS[1]}
        rig.stop(signal.SIGKILL)
        rig.serve()
        rig.status(generation=0, error="is refused")
        assert who(rig) == {PODS[1]}, "the rules of before"
        rig.converge(good)
        assert unready(rig, PODS[0])["ready"] == ["default/pod-3"]


def test_killed_at_any_moment_it_comes_back_to_what_the_pods_are(rig: Rig) -> None:
    """With pods that die and come back meanwhile; who lives is never refused."""
    slow = [check(each) for each in PODS[:3]]
    with pod(rig, PODS[0]), contextlib.ExitStack() as mortal:
        rig.converge(asked(1, slow, port(30008, *PODS[:3], target=LATE), port(30009, PODS[0], target=LATE)))
        with rig.load(30009) as seen:
            for turn in range(12):
                mortal.close()
                for address in PODS[1 : 1 + turn % 3]:
                    mortal.enter_context(pod(rig, address))
                more(seen, 1 + 7 * turn)
                rig.stop(signal.SIGKILL)
                rig.serve()
                more(seen, 1 + 7 * turn)
        unready(rig, *PODS[1 + turn % 3 : 3])
        assert who(rig) == set(PODS[: 1 + turn % 3])
    assert seen.keys() == {"answered"}, seen
    assert rig.nodeportd("drift", str(rig.file)).out == ""


def test_a_table_that_somebody_altered_is_mended_when_a_pod_changes(rig: Rig) -> None:
    with pod(rig, PODS[0]):
        rig.converge(asked(1, [check(PODS[0])], port(30008, PODS[0], PODS[1], target=LATE)))
        rig.nft("flush ruleset")
        assert "is gone" in rig.nodeportd("drift", str(rig.file)).out or rig.nft("list ruleset") == ""
    with rig.replacing():
        unready(rig, PODS[0])
    assert rig.nodeportd("drift", str(rig.file)).out == ""


def test_a_change_that_the_node_does_not_take_is_tried_again(rig: Rig, tmp_path: Path) -> None:
    """The kernel refuses once: a foreign table of our name that is owned by a process of its own."""
    owner = process.start(["ip", "netns", "exec", rig.node, "nft", "-i"], stdin=process.PIPE)
    try:
        assert owner.stdin is not None
        owner.stdin.write(b"add table ip nodeport { flags owner; }\n")
        owner.stdin.flush()
        clock.until(lambda: _seen(rig.nft("list tables")), what="the owned table", within=5, every=0.01)
        rig.give(asked(1, [], port(30008, PODS[0])))
        rig.serve()
        rig.status(error="did not take over", generation=0)
    finally:
        owner.stdin.close()  # type: ignore[union-attr]
        owner.wait(timeout=5)
    rig.status(generation=1)
    assert rig.ask(30008)[0] == PODS[0]


def _seen(tables: str) -> None:
    if "nodeport" not in tables:
        raise clock.NotYet(tables)


def _await_status(rig: Rig, left: str) -> None:
    def look() -> None:
        if (rig.runtime / "status.json").read_text() == left:
            raise clock.NotYet("the daemon has not written it yet")

    clock.until(look, what="a status", within=5, every=0.001)
