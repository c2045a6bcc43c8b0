"""How often a process allocates, as it was measured before its window. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """How often a process calls its allocator, as far as that is known."""

    allocations_per_s: float
    frees_per_s: float
    at_least: bool = False
    """It calls so often that counting cannot tell how often: these are lower bounds."""
    reason: str | None = None
    """Why nothing is known; the rates are then 0."""


def unknown(reason: str) -> Rate:
    """Return a rate that was not measured."""
    return Rate(0, 0, reason=reason)
