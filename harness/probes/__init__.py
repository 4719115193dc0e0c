"""Traffic, and questions to nodes: what is seen, as values."""

from harness.probes.prober import Asked, Prober, Probers, open_probers
from harness.probes.state import ask

__all__ = ["Asked", "Prober", "Probers", "ask", "open_probers"]
