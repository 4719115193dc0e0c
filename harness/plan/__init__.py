"""Model × nodes → what every node shall do. Pure."""

from harness.plan.build import build
from harness.plan.codec import Kept, dumps, loads
from harness.plan.moved import taken_over
from harness.plan.steps import steps

__all__ = ["Kept", "build", "dumps", "loads", "steps", "taken_over"]
