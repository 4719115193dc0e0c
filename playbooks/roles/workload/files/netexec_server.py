"""The sockets of a pod and the one epoll loop that serves them; what is answered is in ``netexec.py``.

A connection is kept until the client closes it, so that the pod is not left with TIME_WAIT; ``Connection: close`` is
honoured. One loop and no framework, because a benchmark measures the way to this program, not the program.
Standard library only.
"""

import collections
import contextlib
import resource
import select
import socket
import sys
import threading
import time

import netexec

BACKLOG = 4096
AT_ONCE = 128
READ = 65536
ANY = "0.0.0.0"  # a pod serves on every address of its own namespace
IDLE_SECONDS = 600.0
DRAIN_SECONDS = 2.0
DIALS = 32
NOW = socket.MSG_DONTWAIT  # per call: a flag costs nothing, making each new socket non-blocking is a system call
REASONS = {
    200: "OK", 204: "No Content", 400: "Bad Request", 404: "Not Found", 411: "Length Required", 412: "Not Ready",
    413: "Content Too Large", 431: "Header Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


class Connection:
    """One TCP connection: what came in and is not answered yet, what goes out and is not taken yet.

    ``since`` is when it last got on: an answer was taken whole, or the first bytes of a request came.
    """

    __slots__ = ("client", "dialling", "draining", "events", "inbox", "outbox", "since", "sock")

    def __init__(self, sock, address, now):
        self.sock, self.client, self.since = sock, f"{address[0]}:{address[1]}", now
        self.inbox = self.outbox = b""
        self.events, self.draining, self.dialling = 0, False, False


class Server:
    """All sockets of a pod and the loop that serves them."""

    def __init__(self, pod, request_seconds):
        self.pod, self.request_seconds = pod, request_seconds
        self.poll = select.epoll()
        self.listeners, self.datagrams, self.connections = {}, {}, {}
        self.most = max(64, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 128)
        self.dialled = collections.deque()
        self.dials = 0
        self.woken, self.waker = socket.socketpair()
        self.woken.setblocking(False)
        self.waker.setblocking(False)
        self.poll.register(self.woken, select.EPOLLIN)
        self.now = self.swept = time.monotonic()
        self.leave_at = None

    def listen(self, port, protocol, host=ANY):
        """Open one port and return its number, which the kernel chooses when it is given as 0."""
        kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
        sock = socket.socket(socket.AF_INET, kind)
        sock.setblocking(False)
        if protocol == "UDP":
            sock.bind((host, port))
            self.datagrams[sock.fileno()] = sock
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
            sock.bind((host, port))
            sock.listen(BACKLOG)
            self.listeners[sock.fileno()] = sock
        self.poll.register(sock, select.EPOLLIN)
        return sock.getsockname()[1]

    def run(self):
        """Serve until told to leave, and for the delay after it."""
        while self.leave_at is None or time.monotonic() < self.leave_at:
            soon = 1.0 if self.leave_at is None else min(1.0, max(0.0, self.leave_at - time.monotonic()))
            ready = self.poll.poll(soon, AT_ONCE)
            self.now = time.monotonic()
            for number, events in ready:
                if number in self.connections:
                    self.attend(self.connections[number], events)
                elif number in self.listeners:
                    self.accept(self.listeners[number])
                elif number in self.datagrams:
                    self.converse(self.datagrams[number])
                elif number == self.woken.fileno():
                    self.wake()
            if self.now - self.swept >= 1.0:
                self.sweep()

    def leave(self, delay):
        """Be not ready any more at once, and end after ``delay`` seconds."""
        self.pod.leaving = True
        self.leave_at = self.leave_at or time.monotonic() + delay

    def wake(self):
        """A signal came, or a /dial is done."""
        with contextlib.suppress(BlockingIOError):
            self.woken.recv(READ)
        while self.dialled:
            connection, request, status, body = self.dialled.popleft()
            self.dials -= 1
            if connection.sock.fileno() in self.connections:
                connection.dialling = False
                self.push(connection, self.reply(connection, request, status, body), request.close)
                if connection.inbox and not request.close:
                    self.serve(connection)

    def sweep(self):
        """Close what has not got on for too long."""
        self.swept = self.now
        for connection in list(self.connections.values()):
            waits = connection.inbox or connection.outbox
            patience = DRAIN_SECONDS if connection.draining else self.request_seconds if waits else IDLE_SECONDS
            if self.now - connection.since > patience and not connection.dialling:
                self.drop(connection)

    def accept(self, listener):
        """Take the connections that wait, and serve at once what they have already sent."""
        for _ in range(AT_ONCE):
            try:
                sock, address = listener.accept()
            except OSError:  # none is left, or one went away before it was taken
                return
            if len(self.connections) >= self.most:
                self.drop(next(iter(self.connections.values())))
            connection = Connection(sock, address, self.now)
            self.connections[sock.fileno()] = connection
            self.read(connection)

    def attend(self, connection, events):
        """Something happened on a connection."""
        if connection.outbox:
            self.push(connection, b"", close=False)
        elif events:
            self.read(connection)

    def read(self, connection):
        """Take what came in, and answer every whole request in it."""
        try:
            data = connection.sock.recv(READ, NOW)
        except BlockingIOError:
            self.want(connection, select.EPOLLIN)
            return
        except OSError:
            data = b""
        if not data:
            self.drop(connection)
        elif not connection.draining:
            if not connection.inbox:
                connection.since = self.now
            connection.inbox += data
            self.serve(connection)

    def serve(self, connection):
        """Answer the whole requests of the inbox, in their order; what is not whole yet stays there."""
        answers, close = [], False
        while connection.inbox and not close and not connection.dialling:
            try:
                taken = self.next_request(connection)
            except netexec.Malformed as why:
                answers.append(self.reply(connection, None, why.status, f"{why}\n".encode()))
                close = True
                break
            if taken is None:
                break
            request, body = taken
            if request.path == "/shutdown":  # as in netexec: no answer, the end
                self.leave_at = self.now
                return
            if request.path == "/dial" and self.dials < DIALS:
                self.dial(connection, request, body)
            else:
                busy = (503, b"too many dials at once\n") if request.path == "/dial" else None
                answers.append(self.reply(connection, request, *(busy or self.answer(connection, request, body))))
                close = request.close
        self.push(connection, b"".join(answers), close)

    def next_request(self, connection):
        """Take the first request and its body from the inbox, ``None`` when it is not whole; raises Malformed."""
        inbox = connection.inbox.lstrip(b"\r\n") if connection.inbox[0] in b"\r\n" else connection.inbox
        end = inbox.find(b"\r\n\r\n")
        if end < 0 or end > netexec.MAX_HEAD:
            if len(inbox) > netexec.MAX_HEAD:
                raise netexec.Malformed(431, f"more than {netexec.MAX_HEAD} bytes of headers")
            return None
        request = netexec.request_of(inbox[:end])
        whole = end + 4 + request.length
        if len(inbox) < whole:
            return None
        connection.inbox = inbox[whole:]
        return request, inbox[end + 4 : whole]

    def answer(self, connection, request, body):
        """Status and body; a fault of ours is an answer as well, and the server goes on."""
        try:
            return netexec.answer(self.pod, request, body, connection.client)
        except Exception as error:  # noqa: BLE001 - whatever it is, the pod lives on
            print(f"{request.path}: {error!r}", file=sys.stderr, flush=True)
            return 500, b"the responder is at fault\n"

    def reply(self, connection, request, status, body):
        """The bytes of an answer."""
        close = request is None or request.close
        kept = not close and request.version == "HTTP/1.0"
        words = "Connection: close\r\n" if close else "Connection: keep-alive\r\n" if kept else ""
        bare = status in (204, 304)
        length = "" if bare else f"Content-Length: {len(body)}\r\n"
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"{length}{self.pod.introduction}{connection.client}\r\n{words}\r\n"
        )
        return head.encode() + (b"" if bare or (request and request.method == "HEAD") else body)

    def push(self, connection, data, close):
        """Send as much as is taken now; the rest waits, and nothing is read until it is gone."""
        connection.draining = connection.draining or close
        data = connection.outbox + data
        if data:
            try:
                sent = connection.sock.send(data, NOW)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.drop(connection)
                return
            connection.outbox = data[sent:]
            if sent:
                connection.since = self.now
        if connection.outbox:
            self.want(connection, select.EPOLLOUT)
        elif connection.draining:
            self.finish(connection)
        else:
            self.want(connection, 0 if connection.dialling else select.EPOLLIN)

    def finish(self, connection):
        """Close after the last answer; with input left that nobody will read, only once the client has had the answer.

        Closing then at once would send a reset, which may overtake the answer.
        """
        if not connection.inbox:
            self.drop(connection)
            return
        connection.inbox = b""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)
            return
        self.want(connection, select.EPOLLIN)

    def want(self, connection, events):
        """Be told of these events of a connection; of none, not even a hang-up, when it is 0."""
        if connection.events == events:
            return
        if not events:
            self.poll.unregister(connection.sock)
        elif connection.events:
            self.poll.modify(connection.sock, events)
        else:
            self.poll.register(connection.sock, events)
        connection.events = events

    def drop(self, connection):
        """The connection is over."""
        self.connections.pop(connection.sock.fileno(), None)
        connection.sock.close()

    def dial(self, connection, request, body):
        """Have /dial done in a thread of its own: it may wait for seconds."""
        connection.dialling = True
        self.dials += 1

        def ask():
            try:
                status, text = netexec.dial(request.parameters(body))
            except Exception as error:  # noqa: BLE001 - an answer must come, the connection waits for it
                status, text = 500, f"{error!r}\n".encode()
            self.dialled.append((connection, request, status, text))
            self.waker.send(b"d")

        threading.Thread(target=ask, daemon=True).start()

    def converse(self, sock):
        """Answer the datagrams that wait."""
        for _ in range(AT_ONCE):
            try:
                data, address = sock.recvfrom(2048)
                said = netexec.datagram(self.pod, data, f"{address[0]}:{address[1]}")
                if said is not None:
                    sock.sendto(said, address)
            except OSError:  # none is left, or the answer cannot be sent: datagrams may be lost
                return
