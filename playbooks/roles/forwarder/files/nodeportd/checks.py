"""How a node finds out that a pod is ready: the ``checks`` of a state, read strictly. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from nodeportd import fields

_CHECK = {"pod": str, "address": str, "kind": str, "port": int, "path": str, "host": str, "headers": list,
          "scheme": str, "initial_delay_seconds": int, "period_seconds": int, "timeout_seconds": int,
          "success_threshold": int, "failure_threshold": int}  # fmt: skip
_HEADER = {"name": str, "value": str}
_PRINTABLE = re.compile(r"[\x21-\x7e]*")
_PATH = re.compile(r"(?:/[\x21-\x7e]*)?")
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")
_LONGEST = 2**31 - 1
_OF_IPV6 = " (IPv6)"


@dataclass(frozen=True, slots=True)
class Check:
    """One pod's readinessProbe, fields as in core/v1; ``kind`` is ``http`` or ``tcp``, ``pod`` ``namespace/name``.

    A pod of two families of addresses has a check for each in which a Service leads to it.

    ``host`` is the Host header, not where the connection goes.
    """

    pod: str
    address: str
    kind: str
    port: int
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    scheme: str = "HTTP"
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3

    @property
    def key(self) -> str:
        """The name under which its outcome is known: the pod's, at an IPv6 address with the family."""
        return f"{self.pod}{_OF_IPV6}" if ":" in self.address else self.pod


def of_ipv6(keys: Collection[str]) -> frozenset[str]:
    """The pods whose checks at IPv6 addresses are among these keys."""
    return frozenset(key.removesuffix(_OF_IPV6) for key in keys if key.endswith(_OF_IPV6))


def read(values: list[Any], reasons: list[str]) -> Iterator[Check]:
    """The checks, one a pod and family; what is wrong with them is added to ``reasons``."""
    seen: set[tuple[str, bool]] = set()
    for index, value in enumerate(values):
        where = f"checks[{index}]"
        given = fields.fields(value, _CHECK, where, reasons)
        if given is None:
            continue
        key = (given["pod"], ":" in given["address"])
        if key in seen:
            reasons.append(f"{where}.pod: {fields.shown(given['pod'])} is there twice")
        seen.add(key)
        fields.pod(given["pod"], f"{where}.pod", reasons)
        fields.address(given["address"], f"{where}.address", reasons)
        fields.word(given["kind"], ("http", "tcp"), f"{where}.kind", reasons)
        fields.word(given["scheme"], ("HTTP",), f"{where}.scheme", reasons)
        _fits(_PATH, given["path"], f"{where}.path", "the path of an HTTP request", reasons)
        _fits(_PRINTABLE, given["host"], f"{where}.host", "the Host of an HTTP request", reasons)
        fields.whole(given["port"], 1, 65535, f"{where}.port", reasons)
        for field in ("initial_delay_seconds", "period_seconds", "timeout_seconds", "success_threshold",
                      "failure_threshold"):  # fmt: skip
            fields.whole(given[field], 0 if field == "initial_delay_seconds" else 1, _LONGEST,
                         f"{where}.{field}", reasons)  # fmt: skip
        headers = tuple(_headers(given["headers"], where, reasons))
        yield Check(**{**given, "headers": headers})


def _headers(values: list[Any], where: str, reasons: list[str]) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(values):
        given = fields.fields(value, _HEADER, f"{where}.headers[{index}]", reasons)
        if given is not None:
            _fits(_TOKEN, given["name"], f"{where}.headers[{index}].name", "the name of an HTTP header", reasons)
            _fits(_VALUE, given["value"], f"{where}.headers[{index}].value", "the value of an HTTP header", reasons)
            yield given["name"], given["value"]


def _fits(form: re.Pattern[str], text: str, where: str, what: str, reasons: list[str]) -> None:
    """What is sent to pods must not break out of its line (RFC 9112, RFC 9110 5.5)."""
    if not form.fullmatch(text):
        reasons.append(f"{where}: {fields.shown(text)} is not {what}")
