"""nodeportd's status, as a node sends it."""

from __future__ import annotations

import json

import pytest

from harness.model.address import IPFamily
from harness.model.observation import Unready
from harness.probes import status

UNREADY = {"default/web-1": {"since": 100.5, "why": "connection refused", "coming": False},
           "default/web-1 (IPv6)": {"since": 111.5, "why": "no connection within 1 s", "coming": False}}  # fmt: skip


@pytest.mark.parametrize("applied_at", ["1970-01-01T00:00:00.0Z", "2099-01-01T00:00:00.0Z"])
def test_times_are_the_nodes_own_whatever_its_clock_says(applied_at: str) -> None:
    told = {"generation": 7, "error": "", "unready": UNREADY, "applied_at": applied_at}
    found = status.read(json.dumps(told) + "\n112.50 400.00\n")
    four = Unready("default/web-1", 12.0, "connection refused")
    assert found == (7, "", (four, Unready("default/web-1", 1.0, "no connection within 1 s", IPFamily.V6)))


def test_a_status_of_an_older_nodeportd_tells_of_no_pods() -> None:
    assert status.read('{"generation": 3, "error": "bad"}\n1.0 2.0\n') == (3, "bad", ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("12.0 3.0", "truncated"),
        ('{"unready": {"a/b": {}}}\n1 2', "since"),
        ('{"unready": {"a/b": {"since": "x"}}}\n1 2', "could not convert"),
        ("[]\n1 2", "Expected `object`"),
    ],
)
def test_what_is_no_status_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        status.read(text)
