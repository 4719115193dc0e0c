"""The answers of *netexec*, the server that Kubernetes' own network tests talk to (agnhost netexec).

Paths, answers, their missing final newlines and their quirks are those of kubernetes/test/images/agnhost/netexec; its
doors for remote execution (/shell, /upload, /exit) are left out, and /healthz needs no UDP port: pods stand for all
sorts of programs here, whose readinessProbe often asks that path. Nothing here touches a socket but :func:`dial`, which
has to. Standard library only; what only /dial needs is imported there, so that a pod stays small.
"""

import time
from functools import lru_cache
from urllib.parse import parse_qs

MAX_HEAD = 16384
MAX_BODY = 65536
DIAL_SECONDS = 5.0
DIAL_TRIES = 1000
FORM = "application/x-www-form-urlencoded"
REASONS = {
    200: "OK", 204: "No Content", 400: "Bad Request", 404: "Not Found", 411: "Length Required", 412: "Not Ready",
    413: "Content Too Large", 431: "Header Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


class Malformed(Exception):
    """A request that cannot be answered as asked: the HTTP status and words that say why."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


class Request:
    """The head of one HTTP request; header names are in lower case, ``length`` is that of the body in bytes."""

    __slots__ = ("close", "headers", "length", "method", "path", "query", "version")

    def __init__(self, head):
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[0].isalpha() or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise Malformed(400, "not an HTTP/1.x request")
        self.method, target, self.version = words
        if target.startswith("http://"):
            target = "/" + target[7:].partition("/")[2]
        self.path, _, self.query = target.partition("?")
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        if any(not name or name != name.strip() for name, _ in self.headers):
            raise Malformed(400, "a header line that is none")
        self.length = self._length()
        asked = self.header("connection").lower()
        self.close = asked == "close" or (self.version == "HTTP/1.0" and asked != "keep-alive")

    def _length(self):
        if self.header("transfer-encoding"):
            raise Malformed(411, "only bodies with a Content-Length are read")
        given = {value for name, value in self.headers if name == "content-length"} or {"0"}
        text = given.pop()
        if given or not (text.isascii() and text.isdigit()):
            raise Malformed(400, "Content-Length is not one number")
        if len(text) > 9 or int(text) > MAX_BODY:
            raise Malformed(413, f"more than {MAX_BODY} bytes")
        return int(text)

    def header(self, wanted):
        """The first value of a header, empty when there is none."""
        return next((value for name, value in self.headers if name == wanted), "")

    def parameters(self, body):
        """The first value of every parameter, those of a form before those of the address."""
        form = body.decode("latin-1") if body and self.header("content-type").startswith(FORM) else ""
        given = parse_qs(f"{form}&{self.query}", keep_blank_values=True, errors="replace")
        return {name: values[0] for name, values in given.items()}


@lru_cache(maxsize=64)
def request_of(head):
    """The request whose head is these bytes. Clients ask the same again and again, so the last ones are remembered."""
    return Request(head)


def take(inbox):
    """The first request of what came in, its body, and the rest; ``None`` when it is not whole; raises Malformed."""
    inbox = inbox.lstrip(b"\r\n") if inbox[0] in b"\r\n" else inbox
    end = inbox.find(b"\r\n\r\n")
    if end < 0 or end > MAX_HEAD:
        if len(inbox) > MAX_HEAD:
            raise Malformed(431, f"more than {MAX_HEAD} bytes of headers")
        return None
    request = request_of(inbox[:end])
    whole = end + 4 + request.length
    return (request, inbox[end + 4 : whole], inbox[whole:]) if len(inbox) >= whole else None


def answer(pod, request, body, client):
    """Status and body for a request; a path that nobody knows is answered with the time."""
    plain = PLAIN.get(request.path)
    if plain is not None:
        return plain(pod, client)
    if request.path == "/echo":
        return echo(request.parameters(body))
    if request.path == "/header":
        return 200, headers(request, request.parameters(body).get("key", ""))
    if pod.unready:
        return 503, b"not ready"  # whatever path a readinessProbe asks, it is one that nobody knows here
    return 200, f"NOW: {time.strftime('%Y-%m-%d %H:%M:%S %z %Z')}".encode()


def reply(introduction, request, status, body, close):
    """The bytes of an answer, with our own headers; ``request`` is none when it was malformed."""
    kept = not close and request.version == "HTTP/1.0"
    words = "Connection: close\r\n" if close else "Connection: keep-alive\r\n" if kept else ""
    bare = status in (204, 304)
    length = "" if bare else f"Content-Length: {len(body)}\r\n"
    head = (
        f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"{length}{introduction}\r\n{words}\r\n"
    )
    return head.encode() + (b"" if bare or (request and request.method == "HEAD") else body)


PLAIN = {
    "/hostname": lambda pod, client: (200, pod.name.encode()),
    "/hostName": lambda pod, client: (200, pod.name.encode()),
    "/clientip": lambda pod, client: (200, client.encode()),
    "/healthz": lambda pod, client: (412, b"") if pod.unready else (200, b""),
    "/readyz": lambda pod, client: readyz(pod),
}


def readyz(pod):
    """Whether it wants connections."""
    if pod.leaving:
        return 503, b"shutting down"
    return (503, b"not ready") if pod.unready else (200, b"ok")


def echo(given):
    """The ``msg`` back, with the status ``code``."""
    code = given.get("code", "")
    try:
        status = int(code or "200")
    except ValueError:
        return 200, f"argument 'code' must be an integer or empty, got \"{code}\"\n".encode()
    if not 200 <= status <= 999:
        return 200, f"argument 'code' must lie between 200 and 999, got {status}\n".encode()
    return status, given.get("msg", "").encode("utf-8", "surrogateescape")


def headers(request, key):
    """One header's value, or all of them but Host as a JSON object of arrays, named as Go names them."""
    if key:
        return request.header(key.lower()).encode("latin-1")
    import json

    named = {}
    for name, value in request.headers:
        if name != "host":
            named.setdefault("-".join(word.capitalize() for word in name.split("-")), []).append(value)
    return json.dumps(named, sort_keys=True, separators=(",", ":")).encode()


def datagram(pod, data, client):
    """The answer to a datagram, ``None`` when there is none; the text is taken in lower case, as netexec does."""
    text = data.decode("utf-8", "surrogateescape").strip().lower()
    if text == "hostname":
        return pod.name.encode()
    if text == "clientip":
        return client.encode()
    if text.startswith("echo "):
        return text[5:].encode("utf-8", "surrogateescape")
    return None


def dial(given):
    """Ask another server from here, ``tries`` times, and gather what it says. Blocks.

    As in netexec, ``responses`` is left out when the last try gave nothing, even if earlier ones did.
    """
    import json

    tries, port = given.get("tries") or "1", given.get("port", "")
    ask = {"": _dial_http, "http": _dial_http, "udp": _dial_udp}.get(given.get("protocol", "").lower())
    if not tries.isdigit() or int(tries) > DIAL_TRIES:
        return 400, b"tries parameter is invalid.\n"
    if not given.get("request"):
        return 400, b"request parameter not specified.\n"
    if ask is None:
        return 400, f"unsupported protocol. {given['protocol']}\n".encode()
    if not given.get("host") or not port.isdigit() or not 0 < int(port) < 65536:
        return 400, b"host and/or port param are invalid.\n"
    found, last = {"responses": [], "errors": []}, ""
    for _ in range(int(tries)):
        last = ""
        try:
            last = ask(given["host"], int(port), given["request"])
            found["responses"].append(last)
        except (OSError, ValueError) as error:
            found["errors"].append(str(error) or type(error).__name__)
    told = {name: found[name] for name in ("errors", "responses") if found[name] and (name == "errors" or last)}
    return 200, json.dumps(told, separators=(",", ":")).encode()


def _dial_http(host, port, request):
    import http.client
    import urllib.error
    from urllib.request import ProxyHandler, build_opener

    try:
        named = f"[{host}]" if ":" in host and not host.startswith("[") else host
        with build_opener(ProxyHandler({})).open(f"http://{named}:{port}/{request}", timeout=DIAL_SECONDS) as reply:
            return reply.read(MAX_BODY).decode(errors="replace")
    except urllib.error.HTTPError as reply:  # a status above 399 is an answer too
        with reply:
            return reply.read(MAX_BODY).decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"not an HTTP answer: {error!r}") from error


def _dial_udp(host, port, request):
    import socket

    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as asker:
        asker.settimeout(DIAL_SECONDS)
        asker.connect(address)
        asker.send(request.encode())
        return asker.recv(2048).decode(errors="replace")
