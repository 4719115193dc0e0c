"""What the tests of pure rooms share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A machine that is short of CPU takes longer for an example than hypothesis allows by itself (0.2 s).
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
