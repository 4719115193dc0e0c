"""Kubernetes' quantities, such as ``64Mi``, ``0.5Gi`` or ``1e6`` (apimachinery, resource.ParseQuantity)."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_QUANTITY = re.compile(
    r"(?P<number>[+-]?([0-9]+\.?[0-9]*|\.[0-9]+))((?P<suffix>[KMGTPE]i|[numkMGTPE]?)|[eE](?P<power>[+-]?[0-9]{1,3}))"
)
_BINARY = {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Decimal(10) ** (3 * power) for power, letter in enumerate(["n", "u", "m", "", *"kMGTPE"], -3)}


def whole(text: str) -> int | None:
    """The value, rounded up to a whole number as Kubernetes does it; ``None`` for what is no quantity."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, suffix = Decimal(match["number"]), match["suffix"]
    if match["power"]:
        return math.ceil(number * Decimal(10) ** int(match["power"]))
    return math.ceil(number * (_BINARY.get(suffix) or _DECIMAL[suffix]))
