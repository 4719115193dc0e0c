"""A live prober at one vantage point, and all of them at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from harness.errors import RemoteError, RigError
from harness.model.cluster import Cluster
from harness.model.observation import Attempt, Job, Outcome, Speak, Strain
from harness.model.workload import Protocol
from harness.probes import answers, transport
from harness.probes.pace import Pace, parts
from harness.probes.transport import Streams

SILENCE_SECONDS = 15.0
"""A probe program says at least every second that it lives; after so long without a word it is given up."""

Item = TypeVar("Item")
Result = TypeVar("Result")

Heard = Callable[[str, int], None]
"""Told every second, from several threads: which vantage point has made how many attempts of a round."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a round: every attempt, and the vantage points that were lost in it with the reason.

    ``strains`` says of the others how short of CPU they were.
    """

    attempts: tuple[Attempt, ...]
    lost: Mapping[str, str]
    strains: Mapping[str, Strain] = field(default_factory=dict)


class Prober:
    """A probe program that runs at ``vantage`` until closed. ``seed`` decides the order of attempts.

    Raises :class:`RemoteError` when the program does not start.
    """

    def __init__(self, vantage: str, streams: Streams, *, pace: Pace | None = None, seed: int = 1) -> None:
        self.vantage = vantage
        self.strain = Strain()
        self._streams = streams
        self._pace = pace or Pace()
        self._seeds = itertools.count(seed)
        self._heard = bytearray()
        try:
            self._line()
        except RemoteError:
            streams.close()
            raise

    def run(
        self, jobs: Sequence[Job], *, concurrency: int | None = None, heard: Heard | None = None
    ) -> tuple[Attempt, ...]:
        """Carry out jobs and return every attempt, in the order in which they ended.

        ``concurrency`` is that of the pace unless another is given; 1 makes one connection after the other.

        Raises :class:`RemoteError` when the program or the way to it is gone, or it could not make its attempts
        (out of source ports, say): that is a fault of the rig and says nothing about the data plane.
        """
        try:
            self._streams.write(msgspec.json.encode(self._batch(jobs, concurrency or self._pace.concurrency)) + b"\n")
        except (OSError, EOFError) as error:
            raise self._gone(error) from error
        attempts: list[Attempt] = []
        while isinstance(line := self._line(), list) or "alive" in line:
            if isinstance(line, list):
                attempts.append(self._attempt(jobs[line[0]], line))
            elif heard is not None:
                heard(self.vantage, line["alive"])
        self.strain = Strain(line["pressure"], line["stalls"])
        if line["errors"]:
            told = "; ".join(f"{times} times {what}" for what, times in line["errors"].items())
            raise RemoteError(f"{self.vantage}: the prober itself failed: {told}")
        if line["unstarted"]:
            told = f"{line['unstarted']} attempts were not begun within {self._pace.seconds:g} s"
            raise RemoteError(f"{self.vantage}: the prober is too slow: {told}")
        return tuple(attempts)

    def close(self) -> None:
        """End the program."""
        self._streams.close()

    def _batch(self, jobs: Sequence[Job], concurrency: int) -> dict[str, Any]:
        return {
            "seed": next(self._seeds),
            "concurrency": concurrency,
            "rate": self._pace.rate,
            "seconds": self._pace.seconds,
            "jobs": [
                {
                    "id": number,
                    "address": job.target.address,
                    "port": job.target.port,
                    "protocol": str(job.target.protocol),
                    "count": job.attempts,
                    **_request(job),
                    "sources": job.sources,
                    "connect_timeout": self._pace.connect_seconds,
                    "answer_timeout": self._pace.answer_seconds,
                }
                for number, job in enumerate(jobs)
            ],
        }

    def _line(self) -> Any:
        """The next line of the program, as a value."""
        try:
            while (end := self._heard.find(b"\n")) < 0:
                data = self._streams.read(SILENCE_SECONDS)
                if not data:
                    raise self._gone(None)
                self._heard += data
            line = msgspec.json.decode(self._heard[:end])
        except (OSError, EOFError, msgspec.DecodeError) as error:
            raise self._gone(error) from error
        del self._heard[: end + 1]
        return line

    def _gone(self, error: Exception | None) -> RemoteError:
        why = str(error) if isinstance(error, TimeoutError) else self._streams.last_words()
        return RemoteError(f"{self.vantage}: the probe program is gone: {why}")

    def _attempt(self, job: Job, line: list[Any]) -> Attempt:
        _, outcome, source_port, connect, total, responder, uid, seen, detail, stalled, began, source, back = line
        if job.ask is not None and outcome == Outcome.OK:
            outcome, responder, seen, detail = answers.read(job.ask, detail)
        return Attempt(
            vantage=job.vantage,
            target=job.target,
            outcome=Outcome(outcome),
            source_port=source_port,
            connect_ms=None if connect is None else connect / 1000,
            total_ms=total / 1000,
            responder=responder,
            uid=uid,
            seen_source=seen,
            detail=detail,
            stalled=stalled,
            source=source,
            began=began / 1e6,
            round_trip_ms=None if back is None else back / 1000,
        )


def _request(job: Job) -> dict[str, object]:
    """What is said to the target: to our own responder its *netexec* request."""
    if job.ask is not None:
        health = job.ask.speak is Speak.HEALTH
        speak = Speak.HTTP if health else job.ask.speak
        return {"speak": str(speak), "request": job.ask.request, "raw": True, "any_status": health}
    if job.target.protocol is Protocol.UDP:
        return {"speak": "datagram", "request": "hostname", "raw": False}
    return {"speak": "http", "request": "/hostname", "raw": False}


class Probers:
    """The probers of all vantage points; ``lost`` are those that cannot be used, with the reason."""

    def __init__(
        self,
        cluster: Cluster,
        vantages: Sequence[str],
        *,
        homes: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        seed: int = 1,
    ) -> None:
        self.lost: dict[str, str] = {}
        self._ready: dict[str, Prober] = {}
        self._each_node = pace.each_node if pace else 0
        places = homes or {}
        opened = _at_once(lambda vantage: _open(cluster, vantage, places.get(vantage, ""), pace, seed), vantages)
        for vantage, prober in zip(vantages, opened, strict=True):
            if isinstance(prober, Prober):
                self._ready[vantage] = prober
            else:
                self.lost[vantage] = str(prober)

    def ask(self, jobs: Mapping[str, Sequence[Job]], *, heard: Heard | None = None) -> Asked:
        """Carry out the jobs of every vantage point, all at the same time; ``lost`` names those that could not."""
        asked = [vantage for vantage in jobs if vantage in self._ready and jobs[vantage]]
        own = parts({vantage: jobs[vantage] for vantage in asked}, self._each_node)
        answers = _at_once(
            lambda vantage: _try(self._ready[vantage], jobs[vantage], concurrency=own.get(vantage), heard=heard),
            asked,
            give_up=self.close,
        )
        attempts: list[Attempt] = []
        lost: dict[str, str] = {}
        for vantage, answer in zip(asked, answers, strict=True):
            if isinstance(answer, RigError):
                lost[vantage] = str(answer)
                self._ready.pop(vantage).close()
            else:
                attempts.extend(answer)
        self.lost.update(lost)
        return Asked(
            tuple(attempts), lost, {vantage: self._ready[vantage].strain for vantage in asked if vantage not in lost}
        )

    def ask_in_order(self, jobs: Sequence[Job]) -> tuple[Attempt, ...]:
        """Carry out one job after the other, one connection after the other, with nothing between.

        A job whose vantage point is or gets lost has no attempts.
        """
        attempts: list[Attempt] = []
        for job in jobs:
            prober = self._ready.get(job.vantage)
            answer = _try(prober, [job], concurrency=1) if prober is not None else ()
            if isinstance(answer, RigError):
                self.lost[job.vantage] = str(answer)
                self._ready.pop(job.vantage).close()
            else:
                attempts.extend(answer)
        return tuple(attempts)

    def close(self) -> None:
        """End all of them."""
        _at_once(lambda prober: prober.close(), list(self._ready.values()))


@contextmanager
def open_probers(
    cluster: Cluster,
    vantages: Sequence[str],
    *,
    homes: Mapping[str, str] | None = None,
    pace: Pace | None = None,
    seed: int = 1,
) -> Iterator[Probers]:
    """Probers at ``vantages`` (``OUTSIDE``, names of nodes, and pods), opened at once, ended at the end.

    ``homes`` maps the pods among them (``pod_vantage``) to the nodes that they are on.
    """
    probers = Probers(cluster, vantages, homes=homes, pace=pace, seed=seed)
    try:
        yield probers
    finally:
        probers.close()


def _open(cluster: Cluster, vantage: str, home: str, pace: Pace | None, seed: int) -> Prober | RigError:
    try:
        return Prober(vantage, transport.at(cluster, vantage, home), pace=pace, seed=seed)
    except RigError as error:
        return error


def _try(
    prober: Prober, jobs: Sequence[Job], *, concurrency: int | None = None, heard: Heard | None = None
) -> tuple[Attempt, ...] | RigError:
    try:
        return prober.run(jobs, concurrency=concurrency, heard=heard)
    except RigError as error:
        return error


def _nothing() -> None:
    pass


def _at_once(
    call: Callable[[Item], Result], items: Sequence[Item], *, give_up: Callable[[], None] = _nothing
) -> list[Result]:
    """Call for every item in a thread of its own; a Ctrl-C calls ``give_up``, so that none is waited for in vain."""
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(64, len(items))) as pool:
        try:
            return list(pool.map(call, items))
        except BaseException:
            give_up()
            raise
