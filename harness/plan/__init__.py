"""Model × nodes → what every node shall do. Pure."""

from harness.plan.build import build
from harness.plan.codec import dumps, loads
from harness.plan.steps import steps

__all__ = ["build", "dumps", "loads", "steps"]
