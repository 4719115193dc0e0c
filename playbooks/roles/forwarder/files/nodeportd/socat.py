"""The socat backend: tells the relay, a unit of its own, where each nodePort leads.

nodeportd itself holds no socket of a client, so that it may restart without cutting anybody off; the relay
(:mod:`nodeportd.relay`) runs as a nameless user without any capability.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nodeportd.backend import PROMISED, BackendError, BusyError
from nodeportd.endpoints import Effective, Forward
from nodeportd.notify import write
from nodeportd.routes import LOOPBACK, LOOPBACK6, Route, kept, to_json, with_port

UNIT = "nodeport-socat.service"
CONTROL = Path("/run/nodeport-socat/control")
PATIENCE = 20.0
"""Seconds that the relay may take for a change: it opens thousands of sockets in one go."""
LOOKING = 5.0
"""Seconds that it may take to tell what it does."""
LARGEST = 1 << 28
"""Bytes of an answer."""


class Socat:
    """Keeps nothing: the relay knows what is in force, and changes only what differs."""

    name = "socat"
    features = PROMISED["socat"]

    def __init__(self, control: Path, kept: Path) -> None:
        self._control = control
        self._kept = kept

    def apply(self, wanted: Effective) -> None:
        """See :meth:`nodeportd.backend.Backend.apply`."""
        question = {"routes": [to_json(route) for route in routes(wanted)]}
        write(self._kept, json.dumps(question["routes"]))
        told = ask(self._control, question)
        if told is None:
            start()
            told = ask(self._control, question)
        if told is None:
            raise BackendError(f"{UNIT} runs, but nobody answers at {self._control}")
        faults = told["faults"]
        if faults:
            raise BackendError("; ".join(faults[:10]) + (f"; and {len(faults) - 10} more" if len(faults) > 10 else ""))

    def drift(self, wanted: Effective) -> tuple[str, ...]:
        """See :meth:`nodeportd.backend.Backend.drift`."""
        told = ask(self._control, {}, LOOKING)
        if told is None:
            return (f"- {UNIT} does not run",)
        found = {_title(each): each for each in told["routes"]}
        shall = {_title(each): each for each in map(to_json, routes(wanted))}
        return (
            *(f"- {title}" for title in sorted(shall.keys() - found.keys())),
            *(f"+ {title}" for title in sorted(found.keys() - shall.keys())),
            *(
                f"~ {title} leads elsewhere"
                for title in sorted(shall)
                if found.get(title, shall[title]) != shall[title]
            ),
        )

    def remove(self) -> None:
        """See :meth:`nodeportd.backend.Backend.remove`."""
        if ask(self._control, {"end": True}) is not None:
            _gone(self._control)
        self._kept.unlink(missing_ok=True)


def routes(wanted: Effective) -> Iterator[Route]:
    """What the relay shall listen at; a port without any endpoint is left to the kernel, which refuses."""
    yield from _routes(wanted, LOOPBACK)
    if wanted.six is not None:
        yield from _routes(wanted.six, LOOPBACK6)


def _routes(half: Effective, loopback: str) -> Iterator[Route]:
    for forward in half.forwards:
        if forward.node_port and forward.everywhere:
            for address in (*half.addresses, loopback):
                yield _route(forward, address, half.cluster_ranges)


def _route(forward: Forward, address: str, inside: tuple[str, ...]) -> Route:
    service = forward.service
    return Route(
        service=service.key,
        address=address,
        protocol=forward.protocol,
        port=forward.node_port,
        everywhere=forward.everywhere,
        outside=forward.external,
        inside=inside if service.external_local else (),
        affinity_seconds=service.affinity_seconds,
        allowed_sources=service.allowed_sources,
    )


def _title(route: Mapping[str, Any]) -> str:
    return f"{route['protocol']} {with_port(route['address'], route['port'])} of {route['service']}"


def ask(control: Path, question: Mapping[str, Any], patience: float = PATIENCE) -> dict[str, Any] | None:
    """What the relay answers; ``None`` when there is no relay.

    Raises :class:`BackendError` when there is one that cannot answer, :class:`BusyError` when it takes too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(patience)
        try:
            line.connect(str(control))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except (TimeoutError, BlockingIOError):
            raise BusyError(f"the relay at {control} was too busy to take a question") from None
        except OSError as error:
            raise BackendError(f"cannot ask the relay at {control}: {error}") from None
        try:
            line.sendall(json.dumps(question).encode())
            line.shutdown(socket.SHUT_WR)
            told: dict[str, Any] = json.loads(line.makefile("rb").read(LARGEST))
        except TimeoutError:
            raise BusyError(f"the relay at {control} was too busy to answer within {patience:g} s") from None
        except (OSError, ValueError) as error:
            raise BackendError(f"the relay at {control} gave no answer: {error}") from None
        return told


def _gone(control: Path) -> None:
    """Wait until the relay's socket is closed, as far as a client of it can see that."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(PATIENCE)
        try:
            line.connect(str(control))
            line.recv(1)
        except (FileNotFoundError, ConnectionError):
            return
        except OSError as error:
            raise BackendError(f"the relay does not end: {error}") from None


def start() -> None:
    """Have systemd start the relay; returns when it listens.

    Raises :class:`BackendError`.
    """
    try:
        done = subprocess.run(["systemctl", "start", UNIT], check=False, capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"cannot start {UNIT}: {error}") from None
    if done.returncode != 0:
        raise BackendError(f"cannot start {UNIT}: {done.stderr.decode(errors='replace').strip()[:300]}")


def make() -> Socat:
    """The backend of this node; ``$NODEPORT_SOCAT_CONTROL`` names another relay than the unit's."""
    return Socat(Path(os.environ.get("NODEPORT_SOCAT_CONTROL", CONTROL)), kept())
