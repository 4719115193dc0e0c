"""Traffic, and questions to nodes: what is seen, as values."""

from harness.probes.pace import Pace
from harness.probes.prober import Asked, Prober, Probers, open_probers
from harness.probes.state import ask
from harness.probes.stream import steady

__all__ = ["Asked", "Pace", "Prober", "Probers", "ask", "open_probers", "steady"]
