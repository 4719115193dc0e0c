"""What a plain (unquoted) YAML scalar is to Kubernetes.

kubectl reads YAML by sigs.k8s.io/yaml (goyaml.v2, resolve.go), which differs from PyYAML: ``y`` and ``n`` are truth
values, ``1e3`` is a number, and ``1:30`` and ``2026-11-21`` are strings. Read otherwise, a manifest would pass here and
be refused by a cluster, or the other way round.
"""

from __future__ import annotations

import re

_TRUE = "y yes true on".split()
_FALSE = "n no false off".split()
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = frozenset(form for word in _TRUE + _FALSE for form in (word, word.capitalize(), word.upper()))
_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NUMBERS = "+-.0123456789"
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,18})")


def meaning(text: str) -> str:
    """``null``, ``bool``, ``int``, ``float`` or ``str``: the type of a plain scalar."""
    if text in _NULL:
        return "null"
    if text in _BOOL:
        return "bool"
    if text[0] in _NUMBERS:
        if _INT.fullmatch(text):
            return "int"
        if _FLOAT.fullmatch(text):
            return "float"
    return "str"


def truth(text: str) -> bool:
    """The value of a scalar whose meaning is ``bool``."""
    return text.lower() in _TRUE


def whole(text: str) -> int | None:
    """The value of a decimal whole number; ``None`` for YAML's other notations (octal, ``0x50``, ``30_008``)."""
    return int(text) if _DECIMAL.fullmatch(text) else None
