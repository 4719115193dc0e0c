"""What the responder does with clients that are odd, slow, many or malicious."""

from __future__ import annotations

import signal
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.workload.rig import Client, Responder, request

Start = Callable[..., Responder]


def test_a_connection_is_kept_until_the_client_closes_it(responder: Responder) -> None:
    with responder.connect() as client:
        for _ in range(100):
            client.send(request("/hostname"))
            answer = client.answer()
            assert answer.body == b"web-1"
            assert "connection" not in answer.headers


@pytest.mark.parametrize(
    ("text", "closes"),
    [
        (request("/hostname", "Connection: close"), True),
        (request("/hostname", "connection: CLOSE"), True),
        (b"GET /hostname HTTP/1.0\r\n\r\n", True),
    ],
)
def test_it_closes_after_the_body_when_asked_to(responder: Responder, text: bytes, closes: bool) -> None:
    with responder.connect() as client:
        client.send(text)
        answer = client.answer()
        assert (answer.body, answer.headers["connection"], client.at_end()) == (b"web-1", "close", closes)


def test_an_old_client_may_keep_its_connection(responder: Responder) -> None:
    with responder.connect() as client:
        for _ in range(2):
            client.send(b"GET /hostname HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert client.answer().headers["connection"] == "keep-alive"


def test_pipelined_requests_are_answered_in_order(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(b"".join(request(f"/echo?msg={number}") for number in range(500)))
        assert [client.answer().body for _ in range(500)] == [str(number).encode() for number in range(500)]


def test_nothing_is_answered_after_a_request_to_close(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(request("/echo?msg=1") + request("/echo?msg=2", "Connection: close") + request("/echo?msg=3"))
        assert [client.answer().body, client.answer().body] == [b"1", b"2"]
        assert client.at_end()


def test_a_request_may_come_byte_by_byte(responder: Responder) -> None:
    with responder.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        text = request("/echo?msg=slow", "Content-Type: text/plain", method="POST", body=b"body") + request("/hostname")
        for number in range(len(text)):
            client.send(text[number : number + 1])
        assert [client.answer().body, client.answer().body] == [b"slow", b"web-1"]


def test_empty_lines_before_a_request_are_passed_over(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(b"\r\n\r\n" + request("/hostname"))
        assert client.answer().body == b"web-1"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon \r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: nameless\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: \u00b2\r\n\r\n".encode("latin-1"), 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
    ],
)
def test_nonsense_is_refused_and_the_connection_closed(responder: Responder, text: bytes, status: int) -> None:
    with responder.connect() as client:
        client.send(text)
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.at_end()
    assert responder.get("/hostname").body == b"web-1"


def test_an_answer_is_not_lost_because_the_client_went_on_talking(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(b"nonsense\r\n\r\n" + b"x" * 200_000)
        assert client.answer().status == 400
        assert client.at_end()


def test_a_client_that_does_not_read_is_not_answered_without_end(responder: Responder) -> None:
    with responder.connect() as greedy:
        greedy.sock.settimeout(0.5)
        asked = request("/header", f"X: {'x' * 8000}") * 10_000
        with pytest.raises(TimeoutError):
            greedy.send(asked)
        assert memory_of(responder) < 60
        assert responder.get("/hostname").body == b"web-1"


def test_a_client_that_reads_late_and_little_gets_every_answer(responder: Responder) -> None:
    many = 40_000  # small questions with longer answers, more than all buffers on the way hold
    sock = socket.socket()
    sock.settimeout(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", responder.tcp[0]))
    with Client(sock) as client:
        asked = b"".join(b"GET /echo?msg=%d HTTP/1.1\r\n\r\n" % number for number in range(many))
        sender = threading.Thread(target=client.send, args=(asked,))
        sender.start()
        sender.join(0.5)
        assert all(client.answer().body == b"%d" % number for number in range(many))
        sender.join(10)


def test_a_client_that_dribbles_is_sent_away_too(start: Start) -> None:
    with start(POD_REQUEST_SECONDS="0.3").connect() as client:
        client.sock.settimeout(0.05)
        client.send(b"GET /")
        for _ in range(200):
            try:
                client.send(b"x")
                assert client.sock.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                return
            return
    pytest.fail("ten seconds of a byte now and then, and it is still listened to")


def test_a_client_that_does_not_finish_its_request_is_sent_away(start: Start) -> None:
    running = start(POD_REQUEST_SECONDS="0.3")
    with running.connect() as slow, running.connect() as idle:
        slow.send(b"GET /hostname HT")
        assert slow.at_end()
        idle.send(request("/hostname"))
        assert idle.answer().body == b"web-1", "a connection without half a request is left alone"


def test_a_client_that_resets_harms_nobody(responder: Responder) -> None:
    for _ in range(50):
        with responder.connect() as client:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.send(request("/hostname"))
    assert responder.get("/hostname").body == b"web-1"


def test_many_connections_at_once(responder: Responder) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(responder.connect()) for _ in range(400)]
        for client in clients:
            client.send(request("/clientip"))
        assert [client.answer().body.decode() for client in clients] == [client.name for client in clients]


def test_it_is_small(responder: Responder) -> None:
    assert responder.get("/hostname").status == 200
    assert memory_of(responder) < 40


def test_open_connections_do_not_keep_it_from_ending(start: Start) -> None:
    running = start()
    with running.connect() as client:
        client.send(request("/hostname"))
        assert client.answer().body == b"web-1"
        running.child.send_signal(signal.SIGTERM)
        assert running.ended() == 0


def test_a_request_under_way_is_answered_before_the_end(start: Start) -> None:
    running = start()
    with running.connect() as slow, running.connect() as idle:
        slow.send(request("/hostname"))
        assert slow.answer().body == b"web-1"
        slow.send(request("/echo?msg=late", body=b"x" * 10)[:-9])
        running.child.send_signal(signal.SIGTERM)
        assert idle.at_end(), "who asks for nothing is let go, with an end of file"
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        for _ in range(9):
            assert running.child.poll() is None
            slow.send(b"x")
        answer = slow.answer()
        assert (answer.body, answer.headers["connection"], slow.at_end()) == (b"late", "close", True)
        assert running.ended() == 0


def test_who_asks_again_and_again_is_told_before_the_end(start: Start) -> None:
    running = start()
    with running.connect() as client:
        client.send(request("/hostname"))
        client.answer()
        running.child.send_signal(signal.SIGTERM)
        told = ""
        for _ in range(100_000):
            client.send(request("/hostname"))
            told = client.answer().headers.get("connection", "")
            if told:
                break
        assert (told, client.at_end()) == ("close", True)
        assert running.ended() == 0


def test_who_connected_before_the_end_is_served(start: Start) -> None:
    running = start()
    running.child.send_signal(signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(300)]
        for client in clients:
            client.send(request("/hostname") + request("/hostname"))
        running.child.send_signal(signal.SIGTERM)
        running.child.send_signal(signal.SIGCONT)
        for client in clients:
            assert [client.answer().body, client.answer().body] == [b"web-1", b"web-1"]
            assert client.at_end()
    assert running.ended() == 0


def test_a_port_that_is_taken_is_said_in_one_line(start: Start) -> None:
    with socket.create_server(("", 0)) as taken, pytest.raises(AssertionError) as failed:
        start(f"{taken.getsockname()[1]}/TCP")
    assert "the pod cannot run" in str(failed.value)
    assert "Address already in use" in str(failed.value)
    assert "Traceback" not in str(failed.value)


def memory_of(running: Responder) -> float:
    """Resident memory in megabytes."""
    status = Path(f"/proc/{running.child.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
