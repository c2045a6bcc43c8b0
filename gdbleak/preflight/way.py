"""Choosing how a process is recorded, and saying why in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import DebuggerError, ElfError, GdbleakError, TargetError
from gdbleak.preflight.cost import load_of, round_number
from gdbleak.recording.chosen import Chosen
from gdbleak.recording.rate import Rate

BREAKPOINTS, BURSTS, INLINE = "breakpoints", "bursts", "inline"
_REFUSALS = TargetError, DebuggerError, ElfError
_STOP_S = 400e-6
"""What a stop may take on a slow or busy host: what it usually takes would promise too much."""
_ALL_PERCENT = 100
"""Whoever allows so much asks for breakpoints, which then record everything."""


def is_too_fast(rate: Rate, usable_sizes: bool, budget_percent: float) -> bool:
    """Return whether a process had better be recorded inline: breakpoints may slow it too much.

    Args:
        rate: How often it allocates.
        usable_sizes: Whether allocations are recorded at their return alone.
        budget_percent: The share of the time for which it may be slowed.

    """
    if budget_percent >= _ALL_PERCENT:
        return False
    load = load_of(rate, usable_sizes, _STOP_S)
    return rate.reason is not None or load * 100 > budget_percent


def explain(
    rate: Rate,
    usable_sizes: bool,
    budget_percent: float,
    is_inline: bool,
    kind: ProbeKind = ProbeKind.AUTO,
    refusal: str = "",
) -> Chosen:
    """Return how a process is recorded, and why, by what was measured.

    Args:
        rate: See `is_too_fast`, as for the next two.
        usable_sizes: See there.
        budget_percent: See there.
        is_inline: Whether it is recorded inline.
        kind: What the user asked for.
        refusal: Why it is not recorded inline, if that was tried.

    >>> rate = Rate(33_000, 33_000)
    >>> str(explain(rate, False, 30, is_inline=True))
    'inline: 66,000 calls/s are too many for breakpoints within 30 %'
    >>> str(explain(Rate(50, 50), False, 30, is_inline=False))
    'breakpoints: 100 calls/s stop it for about 2.2 % of the time, within 30 %'
    >>> str(explain(rate, False, 30, is_inline=False, refusal="there is no room"))
    'bursts: 66,000 calls/s are too many for breakpoints within 30 %; no inline: there is no room'

    """
    why = _weigh(rate, usable_sizes, budget_percent)
    way = BURSTS if is_too_fast(rate, usable_sizes, budget_percent) else BREAKPOINTS
    way = INLINE if is_inline else way
    if refusal:
        why += f"; no inline: {refusal}"
    elif kind is not ProbeKind.AUTO:
        why = f"--probe {kind.value} asks for that" + ("" if is_inline else f"; {why}")
    return Chosen(way, why)


def _weigh(rate: Rate, usable_sizes: bool, budget_percent: float) -> str:
    """Say what breakpoints would cost, measured by the budget."""
    if budget_percent >= _ALL_PERCENT:
        return "--budget 100 lets breakpoints record everything"
    if rate.reason is not None:
        return f"how often it allocates was not measured ({rate.reason})"
    calls = rate.allocations_per_s + rate.frees_per_s
    if not calls:
        return "it did not allocate while that was measured"
    about = "more than " if rate.at_least else ""
    said = f"{about}{round_number(calls)} calls/s"
    percent = 100 * load_of(rate, usable_sizes)
    if is_too_fast(rate, usable_sizes, budget_percent):
        are = "are" if percent > budget_percent else "may be"
        return f"{said} {are} too many for breakpoints within {budget_percent:g} %"
    stops = f"stop it for about {round_number(percent)} % of the time"
    return f"{said} {stops}, within {budget_percent:g} %"


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
        rate: See `is_too_fast`, as for the next two.
        usable_sizes: See there.
        budget_percent: See there.
        try_inline: Returns the way to record inline, or raises why the process cannot be.
        use_breakpoints: Returns the way to record by breakpoints.

    Raises:
        TargetError, DebuggerError, ElfError: the user asked for inline, and it was refused.

    """
    measured = rate, usable_sizes, budget_percent
    if kind is ProbeKind.BREAKPOINT or (kind is ProbeKind.AUTO and not is_too_fast(*measured)):
        return replace(use_breakpoints(), chosen=explain(*measured, is_inline=False, kind=kind))
    try:
        way = try_inline()
    except _REFUSALS as error:
        if kind is not ProbeKind.AUTO:
            raise
        return refuse(error, use_breakpoints(), *measured)
    return replace(way, chosen=explain(*measured, is_inline=True, kind=kind))


def refuse(
    error: GdbleakError, way: Way, rate: Rate, usable_sizes: bool, budget_percent: float
) -> Way:
    """Return a way that is taken because inline was refused by an error."""
    chosen = explain(rate, usable_sizes, budget_percent, is_inline=False, refusal=str(error))
    return replace(way, chosen=chosen)
