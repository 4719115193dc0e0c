"""healthCheckNodePort: where load balancers ask whether this node has an endpoint; answers are as kube-proxy's.

Source: pkg/proxy/healthcheck/service_health.go; any path is answered.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Collection, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple

from nodeportd.checks import of_ipv6
from nodeportd.families import halves, is_ipv6
from nodeportd.state import Service, State

SERVER = "nodeportd"


class Health(NamedTuple):
    """What is told of one Service: its key, and how many of its endpoints on this node are ready and stay."""

    service: str
    endpoints: int


Checks = Mapping[tuple[str, int], Health]
"""What is told at which address and port."""


def of_state(state: State, unready: Collection[str] = ()) -> Checks:
    """What this node has to tell, at an address of each family what is so there.

    Endpoints that are terminating do not count, though they may still serve.
    """
    found = {}
    for service in state.services:
        if service.health_check_node_port:
            _, four, six = halves(service)
            for address in state.addresses:
                half, away = (six, of_ipv6(unready)) if is_ipv6(address) else (four, unready)
                if half is not None:
                    found[address, service.health_check_node_port] = _health(half, state.node, away)
    return found


def _health(half: Service, node: str, unready: Collection[str]) -> Health:
    own = {
        endpoint.address
        for port in half.ports
        for endpoint in port.endpoints
        if endpoint.node == node and not endpoint.terminating and (endpoint.always or endpoint.pod not in unready)
    }
    return Health(half.key, len(own))


def answer(health: Health) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    namespace, _, name = health.service.partition("/")
    told = {
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": health.endpoints,
        "serviceProxyHealthy": True,
    }
    headers = {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": str(health.endpoints),
    }
    return (200 if health.endpoints else 503), headers, json.dumps(told, indent="\t", separators=(",", ": ")).encode()


class HealthChecks:
    """The servers; each is a thread of this process."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, int], _Server] = {}

    def bring(self, wanted: Checks) -> tuple[str, ...]:
        """Tell this from now on; returns what could not be listened at, a line each."""
        for place in [place for place in self._servers if place not in wanted]:
            self._servers.pop(place).end()
        faults = []
        for place, health in wanted.items():
            if place in self._servers:
                self._servers[place].health = health
                continue
            try:
                self._servers[place] = _Server(place, health)
            except OSError as error:
                where = f"[{place[0]}]:{place[1]}" if is_ipv6(place[0]) else f"{place[0]}:{place[1]}"
                faults.append(f"cannot tell the health of {health.service} at {where}: {error.strerror}")
        return tuple(faults)


class _Server(ThreadingTCPServer):
    """No ``HTTPServer``: that asks DNS for its own name before it listens."""

    request_queue_size = 128
    """Load balancers ask all at once; with the library's 5 some of them wait a second for their second SYN."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, place: tuple[str, int], health: Health) -> None:
        self.address_family = socket.AF_INET6 if is_ipv6(place[0]) else socket.AF_INET
        super().__init__(place, _Handler)
        self.health = health
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop to listen."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, _request: object, _address: object) -> None:
        """A client that went away is nobody's fault."""
        print(f"a health check ended: {sys.exc_info()[1]}", file=sys.stderr, flush=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = SERVER
    sys_version = ""
    timeout = 5

    def do_GET(self) -> None:
        """Any path."""
        code, headers, body = answer(self.server.health)
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        """The same without a body."""
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Not a line for each question."""
