"""Choosing how a process is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import DebuggerError, ElfError, GdbleakError, TargetError
from gdbleak.preflight.cost import load_of
from gdbleak.recording.rate import Rate

BEYOND_BUDGET = "recorded inline, because breakpoints would slow the process beyond --budget"
REFUSED = "recorded by breakpoints, because inline was refused: "
_REFUSALS = TargetError, DebuggerError, ElfError


def choose_way(
    kind: ProbeKind,
    rate: Rate,
    usable_sizes: bool,
    budget_percent: float,
    try_inline: Callable[[], Way],
    use_breakpoints: Callable[[], Way],
) -> Way:
    """Return the way to record a process; its notes say why, if the user has left that open.

    With AUTO these are breakpoints where they can record everything within the budget, inline where
    they cannot, and breakpoints again, in bursts, where inline is refused.

    Args:
        kind: What the user asked for.
        rate: How often the process allocates.
        usable_sizes: Whether allocations are recorded at their return alone.
        budget_percent: The share of the time for which it may be slowed.
        try_inline: Returns the way to record inline, or raises why the process cannot be.
        use_breakpoints: Returns the way to record by breakpoints.

    Raises:
        TargetError, DebuggerError, ElfError: the user asked for inline, and it was refused.

    """
    is_too_much = load_of(rate, usable_sizes) * 100 > budget_percent
    if kind is ProbeKind.BREAKPOINT or (kind is ProbeKind.AUTO and not is_too_much):
        return use_breakpoints()
    try:
        way = try_inline()
    except _REFUSALS as error:
        if kind is not ProbeKind.AUTO:
            raise
        return refuse(error, use_breakpoints())
    return _with_note(way, BEYOND_BUDGET) if kind is ProbeKind.AUTO else way


def refuse(error: GdbleakError, way: Way) -> Way:
    """Return a way that is taken because inline was refused by an error."""
    return _with_note(way, f"{REFUSED}{error}")


def _with_note(way: Way, note: str) -> Way:
    return replace(way, notes=(*way.notes, note))
