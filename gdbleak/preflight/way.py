"""Choosing how a process is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import DebuggerError, ElfError, GdbleakError, TargetError
from gdbleak.preflight.cost import load_of
from gdbleak.recording.rate import Rate

BEYOND_BUDGET = "recorded inline, because breakpoints might slow the process beyond --budget"
NOT_MEASURED = "recorded inline, because nobody knows how often the process allocates"
REFUSED = "recorded by breakpoints, because inline was refused: "
_REFUSALS = TargetError, DebuggerError, ElfError
_STOP_S = 400e-6
"""What a stop may take on a slow or busy host: what it usually takes would promise too much."""
_ALL_PERCENT = 100
"""Whoever allows so much asks for breakpoints, which then record everything."""


def why_inline(rate: Rate, usable_sizes: bool, budget_percent: float) -> str:
    """Return why a process had better be recorded inline; "" where breakpoints do.

    Args:
        rate: How often it allocates.
        usable_sizes: Whether allocations are recorded at their return alone.
        budget_percent: The share of the time for which it may be slowed.

    """
    if budget_percent >= _ALL_PERCENT:
        return ""
    if rate.reason is not None:
        return NOT_MEASURED
    load = load_of(rate, usable_sizes, _STOP_S)
    return BEYOND_BUDGET if load * 100 > budget_percent else ""


def choose_way(
    kind: ProbeKind,
    rate: Rate,
    usable_sizes: bool,
    budget_percent: float,
    try_inline: Callable[[], Way],
    use_breakpoints: Callable[[], Way],
) -> Way:
    """Return the way to record a process.

    With AUTO these are breakpoints where they certainly can record everything within the budget,
    inline where they may not, and breakpoints again, in bursts, where inline is refused.

    Args:
        kind: What the user asked for.
        rate: See `why_inline`, as for the next two.
        usable_sizes: See there.
        budget_percent: See there.
        try_inline: Returns the way to record inline, or raises why the process cannot be.
        use_breakpoints: Returns the way to record by breakpoints.

    Raises:
        TargetError, DebuggerError, ElfError: the user asked for inline, and it was refused.

    """
    why = why_inline(rate, usable_sizes, budget_percent) if kind is ProbeKind.AUTO else ""
    if kind is not ProbeKind.INLINE and not why:
        return use_breakpoints()
    try:
        way = try_inline()
    except _REFUSALS as error:
        if kind is not ProbeKind.AUTO:
            raise
        return refuse(error, use_breakpoints())
    return replace(way, reason=why)


def refuse(error: GdbleakError, way: Way) -> Way:
    """Return a way that is taken because inline was refused by an error."""
    return replace(way, reason=f"{REFUSED}{error}")
