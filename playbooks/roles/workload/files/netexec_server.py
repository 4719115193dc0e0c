"""The sockets of a pod and the one epoll loop that serves them; what is answered is in ``netexec.py``.

A connection is kept until the client closes it, so that the pod is not left with TIME_WAIT; ``Connection: close`` is
honoured. At the end nobody new is taken, and whoever waits for an answer has it, as with Go's ``Server.Shutdown``. One
loop and no framework, because a benchmark measures the way to this program, not the program. Standard library only.
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
ANY, ANY6 = "0.0.0.0", "::"  # a pod serves on every address of its own namespace
IDLE_SECONDS = 600.0
DRAIN_SECONDS = 2.0
LINGER_SECONDS = (
    0.5  # idle connections at the end: a request on its way is answered, as by nginx's keepalive_min_timeout
)
DIALS = 32
NOW = socket.MSG_DONTWAIT  # per call: a flag costs nothing, making each new socket non-blocking is a system call


def named(address):
    """A peer as ``address:port``, in brackets when it is of IPv6."""
    return f"[{address[0]}]:{address[1]}" if len(address) > 2 else f"{address[0]}:{address[1]}"


class Connection:
    """One TCP connection: what came in and is not answered yet, what goes out and is not taken yet.

    ``since`` is when it last got on: an answer was taken whole, or the first bytes of a request came.
    """

    __slots__ = ("client", "dialling", "draining", "events", "inbox", "outbox", "since", "sock")

    def __init__(self, sock, address, now):
        self.sock, self.client, self.since = sock, named(address), now
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
        self.ending = self.over = False

    def listen(self, port, protocol, host=ANY):
        """Open one port and return its number, which the kernel chooses when it is given as 0."""
        kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
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
        """Serve until told to leave, for the delay after it, and until nobody is left who waits for an answer."""
        while not self.over:
            ready = self.poll.poll(self.patience(), AT_ONCE)
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
            if self.leave_at is not None and self.now >= self.leave_at:
                self.part()

    def patience(self):
        """Seconds until there is something to do, if nothing happens meanwhile."""
        if self.leave_at is None:
            return 1.0
        return 0.1 if self.ending else min(1.0, max(0.0, self.leave_at - time.monotonic()))

    def part(self):
        """Take nobody new, and let go who does not wait for an answer; with the last one it is over."""
        if not self.ending:
            self.ending = True
            for listener in self.listeners.values():
                for _ in range(BACKLOG // AT_ONCE):  # who connected already is not sent away
                    self.accept(listener)
            for sock in self.datagrams.values():
                self.converse(sock)
            for sock in (*self.listeners.values(), *self.datagrams.values()):
                sock.close()
            self.listeners, self.datagrams = {}, {}
        for connection in list(self.connections.values()):
            waits = connection.inbox or connection.outbox or connection.draining or connection.dialling
            if not waits and self.now - max(connection.since, self.leave_at) > LINGER_SECONDS:
                self.drop(connection)
        self.over = not self.connections

    def leave(self, delay):
        """Be not ready any more at once, and begin to end after ``delay`` seconds."""
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
                close = self.is_last(connection, request)
                self.push(connection, self.reply(connection, request, status, body), close)
                if connection.inbox and not close:
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
                taken = netexec.take(connection.inbox)
            except netexec.Malformed as why:
                answers.append(self.reply(connection, None, why.status, f"{why}\n".encode()))
                close = True
                break
            if taken is None:
                break
            request, body, connection.inbox = taken
            if request.path == "/shutdown":  # as in netexec: no answer, the end
                self.over = True
                return
            if request.path == "/dial" and self.dials < DIALS:
                self.dial(connection, request, body)
            else:
                busy = (503, b"too many dials at once\n") if request.path == "/dial" else None
                answers.append(self.reply(connection, request, *(busy or self.answer(connection, request, body))))
                close = self.is_last(connection, request)
        self.push(connection, b"".join(answers), close)

    def answer(self, connection, request, body):
        """Status and body; a fault of ours is an answer as well, and the server goes on."""
        try:
            return netexec.answer(self.pod, request, body, connection.client)
        except Exception as error:  # noqa: BLE001 - whatever it is, the pod lives on
            print(f"{request.path}: {error!r}", file=sys.stderr, flush=True)
            return 500, b"the responder is at fault\n"

    def is_last(self, connection, request):
        """Whether the connection ends with the answer to this request, which is none when it was malformed."""
        return request is None or request.close or (self.ending and not connection.inbox)

    def reply(self, connection, request, status, body):
        """The bytes of an answer."""
        introduction = self.pod.introduction + connection.client
        return netexec.reply(introduction, request, status, body, self.is_last(connection, request))

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
                said = netexec.datagram(self.pod, data, named(address))
                if said is not None:
                    sock.sendto(said, address)
            except OSError:  # none is left, or the answer cannot be sent: datagrams may be lost
                return
