"""How much of what is random is tried: `pytest --hypothesis-profile=quick` tries less of it."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_WHOLE = 100
# How fast a host is says nothing about what is tested.
_SLOW_HOST = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


def register_profiles() -> None:
    """Register "quick", and "whole", which is the one unless another is asked for."""
    parent = settings()
    settings.register_profile("quick", parent, max_examples=_WHOLE // 5, **_SLOW_HOST)
    settings.register_profile("whole", parent, max_examples=_WHOLE, **_SLOW_HOST)
    settings.load_profile("whole")


def scaled(examples: int) -> int:
    """Return so many examples by the profile "whole", fewer by "quick"."""
    return max(1, examples * settings().max_examples // _WHOLE)
