"""The protocol of agnhost's netexec, over real sockets on loopback."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Callable

import pytest

from harness.support import clock
from tests.unit.workload.rig import Responder, request

Start = Callable[..., Responder]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/hostname", 200, b"web-1"),
        ("/hostName", 200, b"web-1"),
        ("/hostname?anything=at&all", 200, b"web-1"),
        ("http://pod/hostname", 200, b"web-1"),
        ("/healthz", 200, b""),
        ("/readyz", 200, b"ok"),
        ("/echo?msg=hello", 200, b"hello"),
        ("/echo?msg=a%20b%26c&code=404", 404, b"a b&c"),
        ("/echo", 200, b""),
        ("/echo?msg=%ff%C3%A9", 200, "\ufffdé".encode()),
        ("/echo?msg=x&code=abc", 200, b"argument 'code' must be an integer or empty, got \"abc\"\n"),
        ("/echo?msg=x&code=99", 200, b"argument 'code' must lie between 200 and 999, got 99\n"),
        ("/echo?msg=%0d%0aX-Evil:%20yes", 200, b"\r\nX-Evil: yes"),
        ("/header?key=x-mine", 200, b"yes"),
        ("/header?key=none", 200, b""),
        ("/dial?host=127.0.0.1&port=80", 400, b"request parameter not specified.\n"),
        ("/dial?host=127.0.0.1&port=80&request=x&tries=many", 400, b"tries parameter is invalid.\n"),
        ("/dial?host=127.0.0.1&port=80&request=x&protocol=sctp", 400, b"unsupported protocol. sctp\n"),
        ("/dial?host=127.0.0.1&port=99999&request=x", 400, b"host and/or port param are invalid.\n"),
        ("/dial?port=80&request=x", 400, b"host and/or port param are invalid.\n"),
    ],
)
def test_paths(responder: Responder, path: str, status: int, body: bytes) -> None:
    answer = responder.get(path, "X-Mine: yes")
    assert (answer.status, answer.body) == (status, body)
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/nothing", "/shell?cmd=id", "/upload", "/exit?code=3", "*"])
def test_an_unknown_path_is_told_the_time_and_so_are_the_doors_that_are_left_out(
    responder: Responder, path: str
) -> None:
    answer = responder.get(path)
    assert answer.status == 200
    assert re.fullmatch(rb"NOW: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \S+", answer.body)


def test_every_answer_says_who_gave_it_and_who_asked(responder: Responder) -> None:
    for port in responder.tcp:
        with responder.connect(port) as client:
            client.send(request("/clientip"))
            answer = client.answer()
            assert answer.body.decode() == client.name
            said = [answer.headers[name] for name in ("nodeport-pod", "nodeport-pod-uid", "nodeport-client")]
            assert said == ["web-1", "uid-1", client.name]


def test_header_tells_all_headers_as_go_names_them(responder: Responder) -> None:
    answer = responder.get("/header", "x-twice: 1", "X-Twice: 2", "user-agent: me")
    assert json.loads(answer.body) == {"User-Agent": ["me"], "X-Twice": ["1", "2"]}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_any_method_will_do(responder: Responder, method: str) -> None:
    assert responder.get("/hostname", method=method).body == b"web-1"


def test_head_gets_the_head_alone(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(request("/hostname", method="HEAD") + request("/readyz"))
        assert client.answer(body=False).headers["content-length"] == "5"
        assert client.answer().body == b"ok"


def test_parameters_may_come_in_a_form(responder: Responder) -> None:
    with responder.connect() as client:
        form = "Content-Type: application/x-www-form-urlencoded"
        client.send(request("/echo?msg=address", form, method="POST", body=b"msg=form&code=201"))
        answer = client.answer()
    assert (answer.status, answer.body) == (201, b"form")


def test_a_status_without_a_body_has_none(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(request("/echo?msg=unseen&code=204") + request("/hostname"))
        answer = client.answer()
        assert (answer.status, answer.body, "content-length" in answer.headers) == (204, b"", False)
        assert client.answer().body == b"web-1"


@pytest.mark.parametrize("protocol", ["http", "udp", ""])
def test_dial_asks_another_server(responder: Responder, protocol: str) -> None:
    port = responder.udp[0] if protocol == "udp" else responder.tcp[1]
    answer = responder.get(f"/dial?host=127.0.0.1&port={port}&request=hostname&protocol={protocol}&tries=3")
    assert (answer.status, json.loads(answer.body)) == (200, {"responses": ["web-1"] * 3})


def test_dial_takes_any_status_for_an_answer(responder: Responder) -> None:
    path = f"/dial?host=127.0.0.1&port={responder.tcp[0]}&request=echo%3Fmsg%3Dno%26code%3D500"
    assert json.loads(responder.get(path).body) == {"responses": ["no"]}


def test_dial_says_what_went_wrong_and_its_connection_serves_on(responder: Responder) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        path = f"/dial?host=127.0.0.1&port={closed.getsockname()[1]}&request=hostname"
        with responder.connect() as client:
            client.send(request(path) + request("/hostname"))
            (error,) = json.loads(client.answer().body)["errors"]
            assert "Connection refused" in error
            assert client.answer().body == b"web-1"


def test_dial_leaves_out_all_responses_when_the_last_try_failed_as_in_netexec(responder: Responder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once, responder.connect() as client:
        client.send(request(f"/dial?host=127.0.0.1&port={once.getsockname()[1]}&request=x&tries=2"))
        once.settimeout(10)
        for reply in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b""):
            taken, _ = once.accept()
            with taken:
                taken.recv(65536)
                taken.sendall(reply)
        told = json.loads(client.answer().body)
    assert list(told) == ["errors"]
    assert len(told["errors"]) == 1


def test_others_are_served_while_a_dial_waits(responder: Responder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, responder.connect() as waiting:
        waiting.send(request(f"/dial?host=127.0.0.1&port={silent.getsockname()[1]}&request=x"))
        silent.settimeout(10)
        taken, _ = silent.accept()
        assert responder.get("/hostname").body == b"web-1"
        taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        assert json.loads(waiting.answer().body) == {"responses": ["late"]}
        taken.close()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"hostname", b"web-1"),
        (b"  HostName\n", b"web-1"),
        (b"echo Hello World", b"hello world"),
        (b"echo \xff\x00", b"\xff\x00"),
    ],
)
def test_datagrams(responder: Responder, said: bytes, answer: bytes) -> None:
    for port in responder.udp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.sendto(said, ("127.0.0.1", port))
            assert sock.recvfrom(2048) == (answer, ("127.0.0.1", port))


def test_a_datagram_that_means_nothing_is_met_with_silence(responder: Responder) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(("127.0.0.1", responder.udp[0]))
        for said in (b"", b"echo", b"who are you", b"\x00" * 2048, b"clientip"):
            sock.send(said)
        host, port = sock.getsockname()
        assert sock.recv(2048).decode() == f"{host}:{port}", "the first answer is that to the last datagram"


@pytest.mark.parametrize("path", ["/readyz", "/healthz", "/any/other"])
def test_a_signal_makes_it_not_ready_and_another_one_ready_again(start: Start, path: str) -> None:
    running = start("0/TCP")
    assert running.get(path).status == 200
    running.child.send_signal(signal.SIGUSR1)
    clock.until(lambda: _status(running, path, (412, 503)), what="not ready", within=5, every=0.01)
    assert running.get("/hostname").status == 200
    running.child.send_signal(signal.SIGUSR2)
    clock.until(lambda: _status(running, path, (200,)), what="ready", within=5, every=0.01)


def _status(running: Responder, path: str, wanted: tuple[int, ...]) -> None:
    status = running.get(path).status
    if status not in wanted:
        raise clock.NotYet(f"{path}: {status}")


def test_shutdown_ends_it_without_an_answer(start: Start) -> None:
    running = start()
    with running.connect() as client:
        client.send(request("/shutdown"))
        assert client.sock.recv(100) == b""
    assert running.ended() == 0


def test_after_sigterm_it_ends_at_once(start: Start) -> None:
    running = start()
    running.child.send_signal(signal.SIGTERM)
    assert running.ended() == 0


def test_after_sigterm_it_is_not_ready_but_serves_for_the_delay(start: Start) -> None:
    running = start(POD_DELAY_SHUTDOWN="600")
    with running.connect() as client:
        running.child.send_signal(signal.SIGTERM)
        for _ in range(1000):
            client.send(request("/readyz"))
            if (answer := client.answer()).status == 503:
                break
        assert (answer.status, answer.body) == (503, b"shutting down")
    assert running.get("/hostname").body == b"web-1"
    assert running.child.poll() is None


def test_the_delay_ends(start: Start) -> None:
    running = start(POD_DELAY_SHUTDOWN="0.2")
    running.child.send_signal(signal.SIGTERM)
    assert running.ended() == 0


def test_systemd_is_told_when_all_ports_are_open(start: Start, tmp_path: object) -> None:
    path = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(10)
        start("", NOTIFY_SOCKET=path)
        assert systemd.recv(100) == b"READY=1"
