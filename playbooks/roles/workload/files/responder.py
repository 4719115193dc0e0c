"""What runs in a pod: a server that says who it is, speaking the *netexec* protocol of Kubernetes' agnhost image.

HTTP on every TCP port, one command a datagram on every UDP port; paths, answers and their missing final newlines
are those of kubernetes/test/images/agnhost/netexec. Its doors for remote execution (/shell, /upload, /exit) are left
out. Three headers are ours: Nodeport-Pod, Nodeport-Pod-Uid and Nodeport-Client, on every answer.

Configured by the environment: POD_NAME, POD_UID, POD_LISTENS ("80/TCP 53/UDP"). Standard library only.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
import urllib.parse
import urllib.request

MAX_HEAD = 16384
REASONS = {200: "OK", 400: "Bad Request", 412: "Precondition Failed", 431: "Header Too Large", 503: "Unavailable"}


class Pod:
    """Who this pod is, and whether it is on its way out."""

    def __init__(self, name, uid):
        self.name, self.uid = name, uid
        self.hostname = name.split(".")[0][:63]
        self.leaving = False
        self.serves_udp = False
        self.stop = asyncio.Event()


class Http(asyncio.Protocol):
    """One HTTP/1.1 connection: pipelined and split requests, bodies by Content-Length, kept alive if wished."""

    def __init__(self, pod):
        self.pod, self.buffer, self.busy, self.dialing = pod, b"", False, None

    def connection_made(self, transport):
        """Remember the other end, and send small answers at once."""
        self.transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self.client = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        """Answer every whole request that has arrived."""
        self.buffer += data
        if not self.busy:
            self._answer_all()

    def _answer_all(self):
        while not self.transport.is_closing():
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                if len(self.buffer) > MAX_HEAD:
                    self._send(431, b"", close=True)
                return
            lines = head.decode("latin-1").split("\r\n")
            words = lines[0].split(" ")
            fields = (line.partition(":") for line in lines[1:])
            headers = {name.strip().lower(): value.strip() for name, _, value in fields}
            length = headers.get("content-length", "0")
            if len(words) != 3 or not length.isdigit() or int(length) > MAX_HEAD:
                self._send(400, b"bad request", close=True)
                return
            if len(rest) < int(length):
                return
            self.buffer = rest[int(length):]
            asked = headers.get("connection", "").lower()
            close = asked == "close" or (words[2] == "HTTP/1.0" and asked != "keep-alive")
            path, _, query = words[1].partition("?")
            if path == "/dial":
                self.busy = True
                self.dialing = asyncio.ensure_future(self._dial(query, close))
                return
            code, body = answer(self.pod, path, query, headers, self.client)
            self._send(code, body, close)

    async def _dial(self, query, close):
        code, body = await asyncio.get_running_loop().run_in_executor(None, dial, query)
        self.busy = False
        self._send(code, body, close)
        self._answer_all()

    def _send(self, code, body, close):
        head = (
            f"HTTP/1.1 {code} {REASONS.get(code, 'Status')}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nNodeport-Pod: {self.pod.hostname}\r\nNodeport-Pod-Uid: {self.pod.uid}\r\n"
            f"Nodeport-Client: {self.client}\r\n" + ("Connection: close\r\n" if close else "") + "\r\n"
        )
        self.transport.write(head.encode("latin-1") + body)
        if close:
            self.transport.close()


def answer(pod, path, query, headers, client):
    """Code and body for one request; an unknown path is answered with the time, as netexec does."""
    if path in ("/hostname", "/hostName"):
        return 200, pod.hostname.encode()
    if path == "/clientip":
        return 200, client.encode()
    if path == "/healthz":
        return (200 if pod.serves_udp else 412), b""
    if path == "/readyz":
        return (503, b"shutting down") if pod.leaving else (200, b"ok")
    if path == "/shutdown":
        pod.stop.set()
        return 200, b""
    given = urllib.parse.parse_qs(query)
    if path == "/echo":
        text, code = given.get("msg", [""])[0].encode(), given.get("code", ["200"])[0]
        if code.isdigit() and 200 <= int(code) <= 599:
            return int(code), text
        return 200, b"argument 'code' must be a status code"
    if path == "/header":
        key = given.get("key", [""])[0].lower()
        everything = json.dumps({name: [value] for name, value in headers.items()})
        return 200, (headers.get(key, "") if key else everything).encode()
    return 200, f"NOW: {time.strftime('%Y-%m-%d %H:%M:%S %z')}".encode()


def dial(query):
    """netexec's /dial: ask another server from this pod, ``tries`` times, and gather what it says."""
    given = {name: values[0] for name, values in urllib.parse.parse_qs(query).items()}
    if not given.get("request") or not given.get("host") or not given.get("port", "").isdigit():
        return 400, b"request, host and port must be given"
    if given.get("protocol", "http") not in ("", "http", "udp") or not given.get("tries", "1").isdigit():
        return 400, b"protocol must be http or udp, tries a number"
    ask = _dial_udp if given.get("protocol") == "udp" else _dial_http
    found = {"responses": [], "errors": []}
    for _ in range(min(100, int(given.get("tries", "1")))):
        try:
            found["responses"].append(ask(given["host"], int(given["port"]), given["request"]))
        except OSError as error:
            found["errors"].append(str(error))
    return 200, json.dumps({name: values for name, values in found.items() if values}).encode()


def _dial_http(host, port, request):
    with urllib.request.urlopen(f"http://{host}:{port}/{request}", timeout=5) as reply:
        return reply.read(65536).decode(errors="replace")


def _dial_udp(host, port, request):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(5)
        asker.connect((host, port))
        asker.send(request.encode())
        return asker.recv(2048).decode(errors="replace")


class Datagrams(asyncio.DatagramProtocol):
    """netexec over UDP: ``hostname``, ``echo <message>``, ``clientip``; anything else is met with silence."""

    def __init__(self, pod):
        self.pod = pod

    def connection_made(self, transport):
        """Remember the socket to answer by."""
        self.transport = transport

    def datagram_received(self, data, address):
        """Answer one datagram; the text is taken in lower case, as netexec does."""
        text = data[:2048].decode(errors="replace").strip().lower()
        if text == "hostname":
            self.transport.sendto(self.pod.hostname.encode(), address)
        elif text.startswith("echo "):
            self.transport.sendto(text[5:].encode(), address)
        elif text == "clientip":
            self.transport.sendto(f"{address[0]}:{address[1]}".encode(), address)


async def serve(pod, listens):
    """Listen on every port until told to stop."""
    loop = asyncio.get_running_loop()
    for listen in listens:
        port, _, protocol = listen.partition("/")
        if protocol == "UDP":
            pod.serves_udp = True
            await loop.create_datagram_endpoint(lambda: Datagrams(pod), ("0.0.0.0", int(port)))
        else:
            await loop.create_server(lambda: Http(pod), "0.0.0.0", int(port), backlog=4096, reuse_address=True)
    loop.add_signal_handler(signal.SIGTERM, _leave, pod, loop)
    print(f"pod {pod.name} listens on {' '.join(listens) or 'nothing'}", flush=True)
    await pod.stop.wait()


def _leave(pod, loop):
    """SIGTERM: not ready any more at once, but serving for as long as POD_DELAY_SHUTDOWN (seconds) says."""
    pod.leaving = True
    loop.call_later(float(os.environ.get("POD_DELAY_SHUTDOWN", "0")), pod.stop.set)


async def main():
    """Run the pod that the environment describes."""
    pod = Pod(os.environ["POD_NAME"], os.environ["POD_UID"])
    await serve(pod, os.environ.get("POD_LISTENS", "").split())


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except OSError as error:
        sys.exit(f"cannot serve: {error}")
