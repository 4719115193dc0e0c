"""What a foreign server's answer says: who it is, and which client it saw. Pure."""

from __future__ import annotations

import ipaddress
import re

import msgspec

from harness.model.observation import Ask, Find, Outcome, Place, Speak

_LONGEST = 253


def read(ask: Ask, raw: str) -> tuple[str, str, str, str]:
    """Outcome, responder, the client it saw (``address:port``), detail; ``raw`` is the answer as latin-1.

    An answer that does not say who gave it is a bad answer. One that does not say which client it saw is a good one:
    that is for the check ``source`` to tell.
    """
    if ask.speak is Speak.HEALTH:
        return _health(raw)
    try:
        name = _found(ask, ask.name, raw)
    except ValueError as error:
        return Outcome.BAD_ANSWER, "", "", str(error)
    if not name or len(name) > _LONGEST or not name.isprintable():
        return Outcome.BAD_ANSWER, "", "", f"{_where(ask.name)} is no name: {name[:60]!r}"
    try:
        client = _client(_found(ask, ask.client, raw)) if ask.client is not None else ""
    except ValueError:
        client = ""
    return Outcome.OK, name, client, ""


def _health(raw: str) -> tuple[str, str, str, str]:
    """What a health check port says, in one line: ``200 default/web 2``; bad where its form is not kube-proxy's.

    The header X-Load-Balancing-Endpoint-Weight is newer, and may be missing.
    """
    head, _, body = raw.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    fields = dict(_field(line) for line in lines)
    try:
        told = msgspec.json.decode(_text(body), type=_Health)
    except msgspec.ValidationError as error:
        return Outcome.BAD_ANSWER, "", "", f"not kube-proxy's JSON: {error}"
    except msgspec.DecodeError:
        return Outcome.BAD_ANSWER, "", "", f"the answer is no JSON: {_text(body)[:60]!r}"
    wanted = {"content-type": "application/json", "x-content-type-options": "nosniff"}
    faults = [f"{name} is {fields.get(name, 'missing')}" for name, value in wanted.items() if fields.get(name) != value]
    weight = fields.get("x-load-balancing-endpoint-weight", str(told.endpoints))
    if weight != str(told.endpoints):
        faults.append(f"x-load-balancing-endpoint-weight is {weight}, localEndpoints {told.endpoints}")
    if faults:
        return Outcome.BAD_ANSWER, "", "", "; ".join(faults)
    code = status.split(" ")[1]
    well = "" if told.healthy else " (proxy not healthy)"
    return Outcome.OK, f"{code} {told.service.namespace}/{told.service.name} {told.endpoints}{well}", "", ""


class _Service(msgspec.Struct, forbid_unknown_fields=True):
    namespace: str
    name: str


class _Health(msgspec.Struct, forbid_unknown_fields=True):
    """service_health.go, in its own names."""

    service: _Service
    endpoints: int = msgspec.field(name="localEndpoints")
    healthy: bool = msgspec.field(name="serviceProxyHealthy")


def _found(ask: Ask, place: Place, raw: str) -> str:
    """What stands at that place; raises :class:`ValueError` that says what is missing."""
    head, _, body = raw.partition("\r\n\r\n") if ask.speak is Speak.HTTP else ("", "", raw)
    if place.find is Find.HEADER:
        fields = dict(reversed([_field(line) for line in head.split("\r\n")[1:]]))
        if place.what.lower() not in fields:
            raise ValueError(f"the answer has no header {place.what}")
        return fields[place.what.lower()]
    if place.find is Find.JSON:
        return _in_json(_text(body), place.what)
    if place.find is Find.REGEX:
        match = re.search(place.what, _text(raw))
        if match is None:
            raise ValueError(f"nothing matches {place.what}: {_text(body).strip()[:60]!r}")
        return (match[1] if match.re.groups else match[0]) or ""
    return _text(body).strip()


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", errors="replace")


def _in_json(text: str, path: str) -> str:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise ValueError(f"the answer is no JSON: {text[:60]!r}") from None
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise ValueError(f"the answer has no field {path}")
        value = value[name]
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"the field {path} is neither text nor a number")  # noqa: TRY004 - a fault of the answer
    return str(value)


def _where(place: Place) -> str:
    return {Find.HEADER: f"the header {place.what}", Find.JSON: f"the field {place.what}"}.get(
        place.find, "what the pattern matches" if place.find is Find.REGEX else "the answer"
    )


def _client(text: str) -> str:
    """``address:port`` of what a server tells as ``1.2.3.4``, ``1.2.3.4:5`` or ``[::ffff:1.2.3.4]:5``; 0: untold."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.endswith("]")):
        host, port = text.strip(), "0"
    address = ipaddress.ip_address(host.strip("[]"))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"{mapped or address}:{port}"
