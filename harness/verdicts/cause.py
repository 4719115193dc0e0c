"""The form of a cause, and the commands that show one."""

from __future__ import annotations

from dataclasses import dataclass

RULES = "harness exec {node} -- nft list table {table}"
STATUS = "harness exec {node} -- cat /run/nodeport/status.json"
ALL_RULES = "harness exec {node} -- nft list ruleset"
ROUTE = "harness exec {node} -- ip route get {host}"
POD = "harness exec {home} -- systemctl status nodeport-pod@{unit}.service"
RESTART = (
    "Restart it with `harness exec {node} -- systemctl restart nodeportd.service`, or apply again with `harness apply`."
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A title of one line, then the sentences that follow what was seen."""

    title: str
    means: str
    look: str
    remedy: str
