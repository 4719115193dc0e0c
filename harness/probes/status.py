"""What nodeportd tells of itself, its ``status.json`` (``docs/architecture.md``), as values. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.address import IPFamily
from harness.model.observation import Unready

OF_IPV6 = " (IPv6)"
"""What stands behind a pod's name where it is about its IPv6 address."""


def read(text: str) -> tuple[int | None, str, tuple[Unready, ...]]:
    """The generation in force, the error, and the pods that are not used, of a status and ``/proc/uptime`` behind it.

    How long ago something was is told by the seconds since the node started, so clocks need not agree.

    Raises :class:`ValueError` when it is no such text.
    """
    told, _, uptime = text.strip().rpartition("\n")
    try:
        status = msgspec.json.decode(told, type=dict[str, Any])
        now = float(uptime.split()[0])
        unready = tuple(
            Unready(pod.removesuffix(OF_IPV6), max(0.0, now - float(each["since"])), str(each["why"]), _family(pod))
            for pod, each in (status.get("unready") or {}).items()
        )
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None
    generation = status.get("generation")
    return generation if isinstance(generation, int) else None, str(status.get("error") or ""), unready


def _family(pod: str) -> IPFamily:
    return IPFamily.V6 if pod.endswith(OF_IPV6) else IPFamily.V4
