"""The probe program: one file, standard library only, Python 3.9 or later, so that any node can run it.

It reads batches on stdin, one JSON object a line, and ends at once when its stdin ends::

    {"seed": 1, "concurrency": 32, "rate": 0, "seconds": 60, "jobs": [
        {"id": 0, "address": "10.0.0.1", "port": 30008, "protocol": "TCP", "count": 100, "request": "/hostname",
         "speak": "http", "raw": false, "sources": [], "connect_timeout": 3.5, "answer_timeout": 3.5}, …]}

``speak`` is ``http``, ``line`` (over TCP: ``request`` is sent first, the answer is one line, or all until the server
closes) or ``datagram``. With ``any_status`` no status of HTTP is wrong. With ``raw``, ``detail`` is the answer itself
(HTTP: head, empty line, body; latin-1) for others to understand; without, it has to be a hostname.

``sources`` are addresses that attempts come from, in turn (none: the kernel chooses).

``rate`` is new attempts a second (0: as fast as ``concurrency`` lets it), ``seconds`` how long new attempts are
begun; times out are in seconds. It writes ``{"ready": 1, …}`` when it starts, and for every batch, once that is
over, one array an attempt and one object that ends the batch::

    [id, outcome, source port, connect µs or null, total µs, responder, uid, seen source, detail, stalled, began µs,
     source, round trip µs or null]
    {"done": attempts, "unstarted": 0, "stalls": 0, "pressure": 0.2,
     "errors": {"what went wrong in the probe itself": times}}

``round trip`` is what the kernel took for the handshake's, and told only of a connect that took long: by the time stamp
that comes back it knows to which SYN the answer was (RFC 7323, 4.3). ``pressure`` is the share of the time during
which some process of this machine waited for a CPU (Documentation/accounting/psi.rst), null where it is not told.

``began`` is on the monotonic clock of its machine. While a batch runs it says ``{"alive": attempts done}`` every
second, so that a dead connection is noticed.

Every attempt is a new socket with a port that the kernel chose. A TCP attempt closes first, with a reset, after
the whole answer, so that neither side keeps a TIME_WAIT: one behind NAT makes later connects slow by 10 ms or 1 s.
"""

from __future__ import annotations

import errno
import gc
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import time
from typing import Any

OK, REFUSED, TIMEOUT, RESET, UNREACHABLE = "ok", "refused", "timeout", "reset", "unreachable"
HANG, CLOSED, BAD_ANSWER = "no answer after connect", "closed without an answer", "bad answer"

MAX_LINE = 16 << 20
MAX_ATTEMPTS = 200_000
MAX_CONCURRENCY = 512
MAX_SECONDS = 1800.0
MAX_TIMEOUT = 130.0
MAX_ANSWER = 64 << 10
MAX_RAW = 8 << 10
MAX_ERRORS = 100
TURN = 0.02  # longest sleep between two turns of the loop, so that a longer gap was not its own doing
ALIVE = 1.0  # seconds between two signs of life
STALL = 0.2  # a longer gap between two turns is one
AT_ONCE = 8  # attempts begun in one turn, so that those that are answered do not wait for many others to begin
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen by connect, when the whole connection is known
IP_FREEBIND = 15
IPV6_RECVERR = 25  # linux/in6.h: the same of IPv6
LONG_US = 900_000  # a connect that took so long is one whose round trip is told
TCPI_RTT = 68  # linux/tcp.h: where tcpi_rtt stands in struct tcp_info, in microseconds
IP_RECVERR = 11  # linux/in.h: lets a UDP socket see every ICMP error, not the port's alone

# What connect, send or recv say when the network, or a rule or route on this machine, forbids the way.
# EINVAL is a blackhole route, EACCES a prohibit route, EPERM a rule that drops in the output hook.
DATA_PLANE = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.ETIMEDOUT: TIMEOUT,
    errno.EHOSTUNREACH: UNREACHABLE,
    errno.ENETUNREACH: UNREACHABLE,
    errno.ENETDOWN: UNREACHABLE,
    errno.EHOSTDOWN: UNREACHABLE,
    errno.ENOPROTOOPT: UNREACHABLE,
    errno.EPROTO: UNREACHABLE,
    errno.EINVAL: UNREACHABLE,
    errno.EACCES: UNREACHABLE,
    errno.EPERM: UNREACHABLE,
}


class Unusable(Exception):
    """An answer that cannot be right; its text says why."""


class Attempt:
    """One attempt in flight."""

    def __init__(self, job: dict[str, Any], sock: socket.socket, source: str = "") -> None:
        self.job = job
        self.source = source
        self.sock = sock
        self.stream = job["protocol"] == "TCP"
        self.began = time.monotonic_ns()
        self.deadline = 0.0
        self.source_port = 0
        self.connect_us: int | None = None
        self.round_trip_us: int | None = None
        self.buffer = b""
        self.head: Head | None = None
        self.responder = self.uid = self.seen = ""
        self.stalled = False

    @property
    def connected(self) -> bool:
        """Whether the handshake is over."""
        return self.connect_us is not None


class Head:
    """Status line and headers of an HTTP answer, and how its body ends."""

    __slots__ = ("chunked", "fields", "length", "size", "status")

    def __init__(self, raw: bytes) -> None:
        lines = raw.decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise Unusable(f"not HTTP: {lines[0][:60]!r}")
        self.size = len(raw) + 4
        self.status = int(words[1])
        self.fields = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        self.chunked = "chunked" in self.fields.get("transfer-encoding", "").lower()
        length = self.fields.get("content-length", "")
        if length and not (length.isascii() and length.isdigit() and len(length) < 10):
            raise Unusable(f"Content-Length is {length[:40]!r}")
        self.length: int | None = int(length) if length else None


def unchunk(body: bytes) -> bytes | None:
    """The body of a chunked answer, or None when its end has not come yet."""
    parts: list[bytes] = []
    while True:
        line, found, rest = body.partition(b"\r\n")
        if not found:
            return None
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            raise Unusable(f"a chunk begins with {line[:20]!r}") from None
        if size < 0 or size > MAX_ANSWER:
            raise Unusable(f"a chunk of {size} bytes")
        if len(rest) < size + 2:
            return None
        if size == 0:
            return b"".join(parts)
        parts.append(rest[:size])
        body = rest[size + 2 :]


def whole_body(attempt: Attempt, ended: bool) -> bytes | None:
    """The body once all of it is there, else None; ``ended`` says that the server has closed."""
    if attempt.head is None:
        raw, found, _ = attempt.buffer.partition(b"\r\n\r\n")
        if not found:
            if ended or not b"HTTP/1.".startswith(attempt.buffer[:7]):
                raise Unusable(f"not HTTP: {attempt.buffer.splitlines()[0][:60]!r}")
            return None
        attempt.head = Head(raw)
    head, body = attempt.head, attempt.buffer[attempt.head.size :]
    if head.chunked:
        whole = unchunk(body)
    elif head.length is not None:
        whole = body[: head.length] if len(body) >= head.length else None
    else:
        whole = body if ended else None
    if whole is None and ended:
        raise Unusable(f"the server closed after {len(body)} bytes of the body")
    return whole


def hostname_in(body: bytes) -> str:
    """The hostname that a body is; raises Unusable when it can be none."""
    try:
        text = body.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(text) > 253 or not text.isprintable() or " " in text:
        raise Unusable(f"not a hostname: {body[:60]!r}")
    return text


class Batch:
    """One batch from its first attempt to its last: an epoll loop, bounded in attempts, sockets and time."""

    def __init__(self, order: dict[str, Any], stdin: Stdin, stdout: int) -> None:
        self.waiting = [
            (job, source)
            for job in order["jobs"]
            for source in itertools.islice(itertools.cycle(job.get("sources") or [""]), int(job["count"]))
        ]
        if len(self.waiting) > MAX_ATTEMPTS:
            raise ValueError(f"{len(self.waiting)} attempts in one batch, the most is {MAX_ATTEMPTS}")
        random.Random(order["seed"]).shuffle(self.waiting)  # noqa: S311 - an order, not a secret
        self.concurrency = max(1, min(int(order["concurrency"]), MAX_CONCURRENCY))
        self.rate = float(order["rate"])
        self.stdin = stdin
        self.stdout = stdout
        self.poll = select.epoll()
        self.now = self.began = time.monotonic()
        self.over = self.began + min(float(order["seconds"]), MAX_SECONDS)
        self.alive = self.now + ALIVE
        self.begun = 0
        self.flying: dict[int, Attempt] = {}
        self.done: list[list[Any]] = []
        self.errors: dict[str, int] = {}
        self.stalls = 0
        self.waited = waited_us()

    def run(self) -> None:
        """Make all attempts; raises EOFError when stdin ends first."""
        self.poll.register(self.stdin.fd, select.EPOLLIN)
        try:
            while self.flying or (self.waiting and self.going()):
                for _ in range(min(self.due(), AT_ONCE)):
                    self.begin(*self.waiting.pop())
                events = self.poll.poll(self.sleep())
                last, self.now = self.now, time.monotonic()
                if self.now - last > STALL:
                    self.stalled(self.now - last)
                for fd, _ in events:
                    self.turn(fd)
                self.sweep()
                if self.now > self.alive:
                    self.alive = self.now + ALIVE
                    write(self.stdout, [{"alive": len(self.done)}])
        finally:
            self.poll.close()

    def going(self) -> bool:
        """Whether more attempts may begin: there is time left, and the probe itself works."""
        return self.now <= self.over and sum(self.errors.values()) < MAX_ERRORS

    def due(self) -> int:
        """How many attempts should begin now: as many as there is room for and, when there is a rate, due."""
        if not self.going():
            return 0
        room = min(len(self.waiting), self.concurrency - len(self.flying))
        return min(room, int((self.now - self.began) * self.rate) + 1 - self.begun) if self.rate else room

    def sleep(self) -> float:
        """Seconds to wait for events: not at all when more could begin, until the next is due, at most one turn."""
        if not self.waiting or len(self.flying) >= self.concurrency:
            return TURN
        next_due = self.began + self.begun / self.rate if self.rate else self.now
        return max(0.0, min(TURN, next_due - self.now))

    def stalled(self, gap: float) -> None:
        """The loop was held up: what is in flight knows it, and gets that time back."""
        self.stalls += 1
        for attempt in self.flying.values():
            attempt.stalled = True
            attempt.deadline += gap

    def begin(self, job: dict[str, Any], source: str) -> None:
        """Open a socket and start to connect, or send the datagram."""
        self.begun += 1
        stream = job["protocol"] == "TCP"
        try:
            kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
            six = ":" in job["address"]
            sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind | socket.SOCK_NONBLOCK)
        except OSError as error:
            self.own_fault(error.errno or 0)
            return
        if stream:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        else:
            sock.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVERR) if six else (socket.IPPROTO_IP, IP_RECVERR)), 1)
        attempt = Attempt(job, sock, source)
        patience = min(job["connect_timeout" if stream else "answer_timeout"], MAX_TIMEOUT)
        attempt.deadline = attempt.began / 1e9 + patience
        self.flying[sock.fileno()] = attempt
        try:
            if source:
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                if six:  # a network that is wholly ours is no address of ours, other than with IPv4
                    sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
                sock.bind((source, 0))
            code = sock.connect_ex((job["address"], job["port"]))
            attempt.source_port = sock.getsockname()[1]
            if not stream and code == 0:
                sock.send(job["request"].encode())
        except OSError as error:
            code = error.errno or errno.EIO
        if code in (0, errno.EINPROGRESS):
            self.poll.register(sock, select.EPOLLOUT if stream else select.EPOLLIN)
        else:
            self.failed(attempt, code)

    def turn(self, fd: int) -> None:
        """Something happened on a socket, or on stdin."""
        attempt = self.flying.get(fd)
        if fd == self.stdin.fd:
            self.stdin.more()
        elif attempt is not None:
            try:
                if not attempt.stream:
                    self.datagram(attempt)
                elif attempt.connected:
                    self.receive(attempt)
                else:
                    self.request(attempt)
            except BlockingIOError:
                return
            except OSError as error:
                self.failed(attempt, error.errno or errno.EIO)
            except Unusable as why:
                self.end(attempt, BAD_ANSWER, str(why))

    def request(self, attempt: Attempt) -> None:
        """The handshake is over: send the request, or learn why there was none."""
        sock, job = attempt.sock, attempt.job
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.failed(attempt, code)
            return
        attempt.connect_us = self.micros(attempt)
        if attempt.connect_us >= LONG_US:
            told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_RTT + 4)
            attempt.round_trip_us = struct.unpack_from("I", told, TCPI_RTT)[0] or None
        attempt.deadline = self.now + min(job["answer_timeout"], MAX_TIMEOUT)
        text = job["request"]
        if job["speak"] == "http":
            host = f"[{job['address']}]" if ":" in job["address"] else job["address"]
            text = f"GET {text} HTTP/1.1\r\nHost: {host}:{job['port']}\r\nConnection: keep-alive\r\n\r\n"
        sock.sendall(text.encode())
        self.poll.modify(sock, select.EPOLLIN)

    def receive(self, attempt: Attempt) -> None:
        """Read on; the attempt ends with the whole answer, or with an end that comes too early."""
        data = attempt.sock.recv(65536)
        attempt.buffer += data
        if not attempt.buffer:
            self.end(attempt, CLOSED)
            return
        if attempt.job["speak"] == "line":
            self.line(attempt, ended=not data)
            return
        body = whole_body(attempt, ended=not data)
        head = attempt.head
        if body is None and len(attempt.buffer) > MAX_ANSWER:
            raise Unusable(f"the answer is longer than {MAX_ANSWER} bytes")
        if body is None or head is None:
            return
        if head.status != 200 and not attempt.job.get("any_status"):
            raise Unusable(f"HTTP {head.status}, Server: {head.fields.get('server', 'not given')[:40]}")
        if attempt.job["raw"]:
            self.raw(attempt, attempt.buffer[: head.size] + body)
            return
        attempt.responder = hostname_in(body)
        attempt.uid = head.fields.get("nodeport-pod-uid", "")[:64]
        attempt.seen = head.fields.get("nodeport-client", "")[:64]
        self.end(attempt, OK)

    def line(self, attempt: Attempt, ended: bool) -> None:
        """An answer that is no HTTP: its first line, or all there was when the server closed."""
        first, found, _ = attempt.buffer.partition(b"\n")
        if found or ended:
            self.raw(attempt, first)
        elif len(attempt.buffer) > MAX_RAW:
            raise Unusable(f"no line ends within {MAX_RAW} bytes")

    def datagram(self, attempt: Attempt) -> None:
        """The answer to a datagram: one datagram that is a hostname."""
        data = attempt.sock.recv(65536)
        if attempt.job["raw"]:
            self.raw(attempt, data)
            return
        attempt.responder = hostname_in(data)
        self.end(attempt, OK)

    def raw(self, attempt: Attempt, answer: bytes) -> None:
        """An answer that others will understand, cut short."""
        self.end(attempt, OK, answer[:MAX_RAW].decode("latin-1"))

    def sweep(self) -> None:
        """End what has waited long enough."""
        for attempt in [attempt for attempt in self.flying.values() if attempt.deadline <= self.now]:
            heard = f"the answer stopped after {len(attempt.buffer)} bytes" if attempt.buffer else ""
            self.end(attempt, HANG if attempt.connected else TIMEOUT, heard)

    def failed(self, attempt: Attempt, code: int) -> None:
        """A system call failed: an outcome if the network can be the reason, else a fault of the probe."""
        outcome = DATA_PLANE.get(code)
        if outcome is None:
            self.own_fault(code)
            self.drop(attempt)
        elif outcome is TIMEOUT and attempt.connected:
            self.end(attempt, HANG, os.strerror(code))
        else:
            self.end(attempt, outcome, f"{errno.errorcode[code]}: {os.strerror(code)}")

    def own_fault(self, code: int) -> None:
        """Count what went wrong on this side: out of ports, descriptors, memory."""
        text = f"{errno.errorcode.get(code, str(code))}: {os.strerror(code)}"
        self.errors[text] = self.errors.get(text, 0) + 1

    def end(self, attempt: Attempt, outcome: str, detail: str = "") -> None:
        """The attempt is over: keep its record."""
        times = [attempt.source_port, attempt.connect_us, self.micros(attempt)]
        answer = [attempt.responder, attempt.uid, attempt.seen]
        made = [attempt.stalled, attempt.began // 1000, attempt.source, attempt.round_trip_us]
        self.done.append([attempt.job["id"], outcome, *times, *answer, detail, *made])
        self.drop(attempt)

    def micros(self, attempt: Attempt) -> int:
        """Microseconds from the begin of the attempt to this turn: by then, what it tells of had happened."""
        return max(0, int(self.now * 1e6) - attempt.began // 1000)

    def pressure(self) -> float | None:
        """The share of the batch's time during which somebody waited for a CPU of this machine."""
        now = waited_us()
        if now is None or self.waited is None:
            return None
        return (now - self.waited) / 1e6 / max(1e-3, time.monotonic() - self.began)

    def drop(self, attempt: Attempt) -> None:
        """Let go of the socket: for TCP this resets the connection."""
        del self.flying[attempt.sock.fileno()]
        attempt.sock.close()


def waited_us() -> int | None:
    """How long somebody has waited for a CPU since the boot, in microseconds; None where the kernel does not tell."""
    try:
        with open("/proc/pressure/cpu", encoding="ascii") as file:  # noqa: PTH123 - quicker to start without pathlib
            return int(file.readline().rpartition("total=")[2])
    except (OSError, ValueError):
        return None


class Stdin:
    """Lines of stdin, without ever waiting while a batch runs."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.buffer = b""

    def more(self) -> None:
        """Take what is there (waits when nothing is); raises EOFError at the end."""
        data = os.read(self.fd, 1 << 16)
        if not data or len(self.buffer) > MAX_LINE:
            raise EOFError
        self.buffer += data

    def line(self) -> bytes:
        """The next line; raises EOFError when there is none."""
        while b"\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line


def write(fd: int, values: list[Any]) -> None:
    """Write JSON lines, all of them."""
    data = memoryview("".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values).encode())
    while data:
        data = data[os.write(fd, data) :]


def main(stdin: int, stdout: int) -> None:
    """Batch after batch until stdin ends."""
    gc.disable()  # nothing here refers to itself, and a collection would show as a slow connect
    lines = Stdin(stdin)
    write(stdout, [{"ready": 1, "python": sys.version.split()[0], "pid": os.getpid()}])
    try:
        while True:
            batch = Batch(json.loads(lines.line()), lines, stdout)
            batch.run()
            end = {"done": len(batch.done), "unstarted": len(batch.waiting), "stalls": batch.stalls}
            write(stdout, [*batch.done, {**end, "pressure": batch.pressure(), "errors": batch.errors}])
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main(0, 1)
