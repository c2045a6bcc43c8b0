"""Choosing how a process is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import ElfError, TargetError
from gdbleak.preflight.cost import load_of
from gdbleak.recording.rate import Rate

BEYOND_BUDGET = "recorded inline, because breakpoints would slow the process beyond --budget"
REFUSED = "recorded by breakpoints, because inline was refused: "


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
        kind: As for `wants_inline`, as the next three.
        rate: See there.
        usable_sizes: See there.
        budget_percent: See there.
        try_inline: Returns the way to record inline, or raises why the process cannot be.
        use_breakpoints: Returns the way to record by breakpoints.

    Raises:
        TargetError, ElfError: the user asked for inline, and it was refused.

    """
    if not wants_inline(kind, rate, usable_sizes, budget_percent):
        return use_breakpoints()
    try:
        way = try_inline()
    except (TargetError, ElfError) as error:
        if kind is not ProbeKind.AUTO:
            raise
        return _with_note(use_breakpoints(), f"{REFUSED}{error}")
    return _with_note(way, BEYOND_BUDGET) if kind is ProbeKind.AUTO else way


def _with_note(way: Way, note: str) -> Way:
    return replace(way, notes=(*way.notes, note))
