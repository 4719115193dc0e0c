"""Model × nodes → what every node shall do. Pure."""

from harness.plan.build import build
from harness.plan.codec import dumps, loads

__all__ = ["build", "dumps", "loads"]
