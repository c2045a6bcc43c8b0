"""Choosing how a process is recorded."""

from __future__ import annotations

from gdbleak.capture.probe import ProbeKind
from gdbleak.preflight.cost import load_of
from gdbleak.recording.rate import Rate


def wants_inline(kind: ProbeKind, rate: Rate, usable_sizes: bool, budget_percent: float) -> bool:
    """Return whether a process is to be recorded inline, if that can be done.

    Args:
        kind: What the user asked for.
        rate: How often the process allocates.
        usable_sizes: Whether allocations are recorded at their return alone.
        budget_percent: The share of the time for which it may be slowed.

    """
    if kind is ProbeKind.AUTO:
        return load_of(rate, usable_sizes) * 100 > budget_percent
    return kind is ProbeKind.INLINE
