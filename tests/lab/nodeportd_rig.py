"""A client, a node that runs nodeportd, and a pod with several addresses: each a network namespace, traffic is real.

::

    client 10.99.0.2 ── 10.99.0.1 node 10.244.0.1 ── 10.244.0.2, .3, .4, .5 pod

The pod listens on TCP and UDP port 80 of all its addresses and answers ``<its own address> <the client it saw>``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from harness.support import clock, netns, process
from tests.playbooks import PLAYBOOKS, load

PROGRAM = Path(__file__).parents[2] / "playbooks/roles/forwarder/files/nodeportd"
_FILTERS = load(PLAYBOOKS / "filter_plugins/nodeport.py").FilterModule().filters()
PYTHON = "/usr/bin/python3"
NODE = "10.99.0.1"
GATEWAY = "10.244.0.1"
PODS = ("10.244.0.2", "10.244.0.3", "10.244.0.4", "10.244.0.5")


class Net(NamedTuple):
    """The addresses of the rig in one family; ``table`` is nftables' word for it."""

    family: str
    table: str
    node: str
    client: str
    gateway: str
    pods: tuple[str, ...]
    cluster: str
    external: str
    network: str
    """That of node and client."""
    one: int
    """The length of a network of one address."""


FOUR = Net("IPv4", "ip", NODE, "10.99.0.2", GATEWAY, PODS, "10.96.0.5", "203.0.113.7", "10.99.0.0/24", 32)
SIX = Net("IPv6", "ip6", "fd00:99::1", "fd00:99::2", "fd00:10:244::1",
          tuple(f"fd00:10:244::{number}" for number in range(2, 6)), "fd00:10:96::5", "2001:db8::7",
          "fd00:99::/64", 128)  # fmt: skip
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Within: this thread is in the network namespace; a socket made here stays in it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert _LIBC.setns(there, _CLONE_NEWNET) == 0
        yield
    finally:
        assert _LIBC.setns(home, _CLONE_NEWNET) == 0
        os.close(home)
        os.close(there)


def state(generation: int, *ports: Mapping[str, Any], addresses: Sequence[str] = (NODE,)) -> dict[str, Any]:
    """A state as Ansible would deliver it, one Service for each port."""
    return whole(
        generation, *(service(f"service-{index}", port) for index, port in enumerate(ports)), addresses=addresses
    )


def whole(generation: int, *services: Mapping[str, Any], addresses: Sequence[str] = (NODE,)) -> dict[str, Any]:
    """A state of these Services."""
    return {
        "version": 2,
        "generation": generation,
        "node": "n1",
        "backend": "nftables",
        "addresses": [*addresses],
        "cluster_ranges": ["10.244.0.0/16"],
        "checks": [],
        "services": [*services],
    }


def service(name: str, *ports: Mapping[str, Any], **fields: object) -> dict[str, Any]:
    """A Service; ``fields`` are those that differ from Kubernetes' defaults."""
    return {
        "namespace": "default",
        "name": name,
        "cluster_addresses": [],
        "external_addresses": [],
        "affinity_seconds": 0,
        "external_traffic_policy": "Cluster",
        "internal_traffic_policy": "Cluster",
        "allowed_sources": [],
        "health_check_node_port": 0,
        "ports": [*ports],
        **fields,
    }


def port(number: int, *addresses: str, protocol: str = "TCP", target: int = 80, at: int = 80) -> dict[str, Any]:
    """A Service port ``at``, with a nodePort (0: none) and an endpoint at each address, all on this node."""
    endpoints = [endpoint(address, target) for address in addresses]
    return {"name": "", "protocol": protocol, "port": at, "node_port": number, "endpoints": endpoints}


def endpoint(address: str, target: int = 80, **fields: object) -> dict[str, Any]:
    """One endpoint on this node."""
    pod = f"default/pod-{address.replace(':', '.').rpartition('.')[2]}"
    return {"address": address, "port": target, "node": "n1", "pod": pod, "always": False, "terminating": False,
            **fields}  # fmt: skip


def datagrams(address: str, number: int) -> socket.socket:
    """A UDP socket that is connected there."""
    out = unconnected(address)
    out.connect((address, number))
    return out


def as_the_role_writes(wanted: Mapping[str, Any]) -> bytes:
    """The state file."""
    written: str = _FILTERS["nodeport_lines"](wanted, ["checks", "services"])
    return written.encode()


def unconnected(address: str) -> socket.socket:
    """A UDP socket of the family of an address."""
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


@contextlib.contextmanager
def serving(namespace: str, address: str, number: int) -> Iterator[None]:
    """Within: somebody answers on this TCP and UDP port."""
    with inside(namespace):
        servers = (_Tcp((address, number), _Answer), _Udp((address, number), _Datagram))
    with _running(*servers):
        yield


@contextlib.contextmanager
def _running(*servers: socketserver.BaseServer) -> Iterator[None]:
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


@contextlib.contextmanager
def echoing(namespace: str, address: str, number: int, *, after: float = 0.0) -> Iterator[None]:
    """Within: this TCP port sends back all that it got, when the client has closed its half and so many seconds after.

    The UDP port sends back each datagram, with a space and its own address behind it.
    """
    with inside(namespace):
        tcp = _Tcp((address, number), partial(_Echo, after=after))
        udp = _Udp((address, number), _EchoDatagram)
    with _running(tcp, udp):
        yield


@contextlib.contextmanager
def hanging_up(namespace: str, address: str, number: int) -> Iterator[None]:
    """Within: this TCP port says "bye" to everybody and closes first."""
    with inside(namespace):
        tcp = _Tcp((address, number), _Bye)
    with _running(tcp):
        yield


class Rig:
    """The three namespaces, the pod's servers and nodeportd; used as a context, it leaves nothing behind."""

    most = 2000
    """Connections that the relay takes at once."""

    def __init__(self, folder: Path, backend: str = "nftables", net: Net = FOUR) -> None:
        self.backend, self.net = backend, net
        lab = f"fwd-{secrets.token_hex(3)}"
        self.client, self.node, self.pod = f"{lab}-c", f"{lab}-n", f"{lab}-p"
        self.file = folder / "state.json"
        self.runtime = folder / "run"
        self.log = folder / "journal"
        self._undo = contextlib.ExitStack()
        self._daemon: process.Process[bytes] | None = None
        self._relay: process.Process[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._undo = undo
            self._namespaces()
            self._servers()
            undo.callback(self.end_relay)
            undo.callback(self.kill)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._undo.close()

    def _namespaces(self) -> None:
        for name in (self.client, self.node, self.pod):
            self._undo.enter_context(netns.added(name))
            self.ip(name, "link set lo up")
        self.ip(self.node, f"link add client type veth peer name eth0 netns {self.client}")
        self.ip(self.node, f"link add cni0 type veth peer name eth0 netns {self.pod}")
        for name, link, *addresses in (
            (self.client, "eth0", "10.99.0.2/24"),
            (self.node, "client", f"{NODE}/24"),
            (self.node, "cni0", f"{GATEWAY}/24"),
            (self.pod, "eth0", *(f"{address}/24" for address in PODS)),
        ):
            for address in addresses:
                self.ip(name, f"address add {address} dev {link}")
            self.ip(name, f"link set {link} up")
        if self.net is SIX:
            self._addresses_of_ipv6()
        process.check(["ip", "netns", "exec", self.node, "sysctl", "-qw", "net.ipv4.ip_forward=1"], what="forward")

    def _addresses_of_ipv6(self) -> None:
        for name, link, *addresses in (
            (self.client, "eth0", SIX.client),
            (self.node, "client", SIX.node),
            (self.node, "cni0", SIX.gateway),
            (self.pod, "eth0", *SIX.pods),
        ):
            for address in addresses:
                other = " preferred_lft 0" if address != addresses[0] else ""  # the first one asks, as of IPv4
                self.ip(name, f"address add {address}/64 dev {link} nodad{other}")
        argv = ["ip", "netns", "exec", self.node, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]
        process.check(argv, what="forward")

    def another_client(self, number: int) -> str:
        """One more address of the client, for those who ask from it by name."""
        address = f"{self.net.client[:-1]}{number}"
        words = "/24 dev eth0" if self.net is FOUR else "/64 dev eth0 nodad preferred_lft 0"
        self.ip(self.client, f"address add {address}{words}")
        return address

    def ways_out(self) -> None:
        """Have everybody send what is for nobody here to the node, and the node to the client."""
        words = "-6 route add default via" if self.net is SIX else "route add default via"
        for name, gateway in (
            (self.pod, self.net.gateway),
            (self.client, self.net.node),
            (self.node, self.net.client),
        ):
            self.ip(name, f"{words} {gateway}")

    def whole(self, generation: int, *services: Mapping[str, Any]) -> dict[str, Any]:
        """A state of these Services, each of the rig's family, for a node that has this family."""
        wanted = whole(generation, *services)
        if self.net is FOUR:
            return wanted
        return {
            **wanted,
            "addresses": [NODE, SIX.node],
            "cluster_ranges": ["10.244.0.0/16", "fd00:10:244::/56"],
            "services": [{**each, "ip_families": ["IPv6"]} for each in services],
        }

    def ip(self, namespace: str, words: str) -> None:
        """Run ``ip`` in a namespace."""
        process.check(["ip", "-n", namespace, *words.split()], what="set up the rig")

    def nft(self, words: str) -> str:
        """Run ``nft`` on the node and return what it says."""
        return process.check(["ip", "netns", "exec", self.node, "nft", words], what="ask nft").out

    def nft_file(self, text: str) -> None:
        """Have ``nft`` carry out one transaction on the node."""
        process.check(["ip", "netns", "exec", self.node, "nft", "-f", "-"], stdin=text, what="one transaction")

    def _servers(self) -> None:
        for address in self.net.pods:
            self._undo.enter_context(serving(self.pod, address, 80))

    # nodeportd

    def argv(self, *words: str) -> list[str | Path]:
        """The command line that runs a verb of nodeportd on the node."""
        environment = (
            f"RUNTIME_DIRECTORY={self.runtime}",
            f"NODEPORT_SOCAT_CONTROL={self.runtime / 'control'}",
            f"NODEPORT_SOCAT_ROUTES={self.runtime / 'routes.json'}",
            f"NODEPORT_SOCAT_MOST={self.most}",
        )
        return ["ip", "netns", "exec", self.node, "env", *environment, PYTHON, "-EB", PROGRAM, *words]

    def relay(self) -> process.Process[bytes]:
        """The relay of the backend socat, which systemd would start; started unless it runs and is not ending."""
        if self._relay is not None and not (self.runtime / "control").exists():
            self._relay.wait(timeout=10)
        if self._relay is None or self._relay.poll() is not None:
            self.runtime.mkdir(exist_ok=True)
            with self.log.open("ab") as journal:
                self._relay = process.start(self.argv("relay"), stderr=journal, stdout=journal)
            clock.until(self._reached, what="the relay", within=10, every=0.01)
        return self._relay

    @property
    def relay_running(self) -> bool:
        """Whether the relay runs."""
        return self._relay is not None and self._relay.poll() is None

    def held(self) -> tuple[int, int, int]:
        """How many processes and open files the relay has, and how many TCP sockets the node."""
        if self.backend != "socat" or not self.relay_running:
            return 0, 0, self._sockets()
        assert self._relay is not None
        own = Path(f"/proc/{self._relay.pid}")
        children = (own / f"task/{self._relay.pid}/children").read_text().split()
        return len(children), len(list((own / "fd").iterdir())), self._sockets()

    def _sockets(self) -> int:
        shown = process.check(["ip", "netns", "exec", self.node, "ss", "-Htan", "state", "all"], what="count").out
        return sum(not line.startswith("TIME-WAIT") for line in shown.splitlines())

    def _reached(self) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(self.runtime / "control"))
            except OSError as error:
                raise clock.NotYet(str(error)) from None

    def end_relay(self) -> None:
        """End the relay if it runs."""
        if self.relay_running:
            self.stop_relay(signal.SIGTERM)

    def stop_relay(self, how: signal.Signals) -> None:
        """End the relay by a signal."""
        assert self._relay is not None
        self._relay.send_signal(how)
        self._relay.wait(timeout=10)

    def nodeportd(self, *words: str) -> process.Completed:
        """Run a verb of nodeportd on the node to its end."""
        return process.run(self.argv(*words), timeout=20)

    def serve(self, *, notify: Path | None = None) -> None:
        """Start the daemon on what the state file says; it tells the socket ``notify`` what it would tell systemd."""
        if self.backend == "socat":
            self.relay()
        env = {**os.environ, "NOTIFY_SOCKET": str(notify or "")}
        with self.log.open("ab") as journal:
            self._daemon = process.start(self.argv("serve", str(self.file)), stderr=journal, stdout=journal, env=env)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon by a signal and return its exit code."""
        assert self._daemon is not None
        self._daemon.send_signal(how)
        code = self._daemon.wait(timeout=10)
        self._daemon = None
        return code

    def kill(self) -> None:
        """End the daemon if it runs."""
        if self._daemon is not None:
            self.stop(signal.SIGKILL)

    @property
    def alive(self) -> bool:
        """Whether the daemon still runs."""
        return self._daemon is not None and self._daemon.poll() is None

    def hears(self, which: signal.Signals) -> bool:
        """Whether the daemon runs and has a handler for this signal."""
        daemon = self._daemon
        if daemon is None or daemon.poll() is not None:
            return False
        told = Path(f"/proc/{daemon.pid}/status").read_text().partition("SigCgt:")[2].split()
        return bool(told) and bool(int(told[0], 16) >> (which - 1) & 1)

    def cpu_seconds(self) -> float:
        """The processor time that the daemon took so far."""
        assert self._daemon is not None
        fields = Path(f"/proc/{self._daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def give(self, wanted: dict[str, Any] | bytes) -> None:
        """Put a state file in place, and have the daemon read it if it runs."""
        if isinstance(wanted, dict):
            wanted = as_the_role_writes({**wanted, "backend": self.backend})
        self.file.write_bytes(wanted)
        self.hup()

    def hup(self) -> None:
        """Have the daemon read its file again if it runs."""
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGHUP)

    def status(self, **expected: object) -> dict[str, Any]:
        """Wait until the status has these values; an ``error`` may be a part of what it says."""

        def look() -> dict[str, Any]:
            path = self.runtime / "status.json"
            said: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
            error = expected.get("error", "")
            told = error in said.get("error", "?") if error else said.get("error") == ""
            if not told or any(said.get(key) != value for key, value in expected.items() if key != "error"):
                raise clock.NotYet(f"status {said}, {self.log.read_text()[-300:]}")
            return said

        return clock.until(look, what=f"status {expected}", within=10, every=0.01)

    def converge(self, wanted: dict[str, Any]) -> None:
        """Give a state and wait until it is in force, starting the daemon if need be."""
        self.give(wanted)
        if self._daemon is None:
            self.serve()
        self.status(generation=wanted["generation"])

    def mend(self) -> None:
        """Have the daemon replace its table, and wait until it did."""
        with self.replacing():
            self.hup()

    @contextlib.contextmanager
    def replacing(self) -> Iterator[None]:
        """Do what is within, and wait until the daemon has brought the kernel to its state since."""
        before = self.applied_at()

        def look() -> None:
            if self.applied_at() == before:
                raise clock.NotYet(f"still {before}; {self.log.read_text()[-300:]}")

        yield
        clock.until(look, what="the kernel to be changed", within=10, every=0.005)

    def applied_at(self) -> str:
        """When the daemon last changed the kernel, as its status says."""
        return str(json.loads((self.runtime / "status.json").read_text())["applied_at"])

    # traffic

    def ask(
        self, number: int, *, address: str = "", source: str = "", bind: str = "", within: float = 5
    ) -> tuple[str, str]:
        """One fresh TCP connection from the client (or ``source``): the pod that answered, the client it saw."""
        own = (bind, 0) if bind else None
        there = (address or self.net.node, number)
        with inside(source or self.client), socket.create_connection(there, within, own) as connection:
            return _exchange(connection)

    def ask_udp(self, number: int, *, source: str = "") -> tuple[str, str]:
        """One datagram from a fresh port."""
        with inside(source or self.client), datagrams(self.net.node, number) as out:
            out.settimeout(5)
            out.send(b"?")
            return _words(out.recv(100))

    def spread(self, number: int, times: int) -> Counter[str]:
        """How many fresh connections each pod answered."""
        return Counter(self.ask(number)[0] for _ in range(times))

    @contextlib.contextmanager
    def load(self, *numbers: int) -> Iterator[Counter[str]]:
        """Within: two clients make fresh connections as fast as they can; counts answers, and errors by their words."""
        seen: Counter[str] = Counter()
        over = threading.Event()

        def client(which: int) -> None:
            for turn in range(1_000_000):
                if over.is_set():
                    return
                try:
                    self.ask(numbers[(turn + which) % len(numbers)])
                    seen["answered"] += 1
                except OSError as error:
                    seen[str(error)] += 1

        clients = [threading.Thread(target=client, args=(which,)) for which in range(2)]
        for thread in clients:
            thread.start()
        try:
            yield seen
        finally:
            over.set()
            for thread in clients:
                thread.join()

    @contextlib.contextmanager
    def established(self, number: int) -> Iterator[socket.socket]:
        """Within: one connection that was made before."""
        with inside(self.client):
            connection = socket.create_connection((self.net.node, number), timeout=5)
        with connection:
            alive(connection)
            yield connection


def more(seen: Counter[str], answers: int) -> None:
    """Wait until so many more connections were answered."""
    enough = seen["answered"] + answers

    def look() -> None:
        if seen["answered"] < enough:
            raise clock.NotYet(f"{dict(seen)}")

    clock.until(look, what=f"{answers} more answers", within=30, every=0.002)


def alive(connection: socket.socket) -> None:
    """Ask once over an established connection; raises ``OSError`` when it is dead."""
    connection.send(b"?")
    assert _words(connection.recv(100))


def _exchange(connection: socket.socket) -> tuple[str, str]:
    # Closed by a reset after the whole answer: a pod in TIME_WAIT would slow down a later connection.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.send(b"?")
    return _words(connection.recv(100))


def _words(answer: bytes) -> tuple[str, str]:
    own, client = answer.decode().split()
    return own, client


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)


class _Udp(socketserver.UDPServer):
    max_packet_size = 65535

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    @property
    def own(self) -> str:
        return str(self.socket.getsockname()[0])


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        own = self.request.getsockname()[0]
        with contextlib.suppress(ConnectionError):
            while self.request.recv(100):
                self.request.send(f"{own} {self.client_address[0]}".encode())


class _Echo(socketserver.BaseRequestHandler):
    def __init__(self, *given: Any, after: float) -> None:
        self.after = after
        super().__init__(*given)

    def handle(self) -> None:
        got = bytearray()
        while part := self.request.recv(1 << 16):
            got += part
        threading.Event().wait(self.after)
        self.request.sendall(got)


class _Bye(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"bye")


class _EchoDatagram(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        self.request[1].sendto(self.request[0] + b" " + self.server.own.encode(), self.client_address)


class _Datagram(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        answer = f"{self.server.own} {self.client_address[0]}"
        self.request[1].sendto(answer.encode(), self.client_address)
