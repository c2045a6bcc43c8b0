"""Choosing how a process is recorded, and saying why in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import DebuggerError, ElfError, GdbleakError, TargetError
from gdbleak.preflight.cost import load_of, round_number
from gdbleak.recording.chosen import BREAKPOINTS, BURSTS, INLINE, Chosen
from gdbleak.recording.rate import Rate

_REFUSALS = TargetError, DebuggerError, ElfError
_STOP_S = 400e-6
"""What a stop may take on a slow or busy host: what it usually takes would promise too much."""
_ALL_PERCENT = 100
"""Whoever allows so much asks for breakpoints, which then record everything."""


class Demand(NamedTuple):
    """What recording a process would take, and what it may."""

    rate: Rate
    """How often it allocates."""
    usable_sizes: bool
    """Whether allocations are recorded at their return alone."""
    budget_percent: float
    """The share of the time for which it may be slowed."""
    crowding: float = 1.0
    """How many threads want each processor of the host: a thread that was halted waits for them."""

    @property
    def is_too_much(self) -> bool:
        """Whether it had better be recorded inline: breakpoints may slow it beyond the budget."""
        return self._exceeds(_STOP_S * self.crowding)

    @property
    def is_too_much_here(self) -> bool:
        """Whether it is so only because the host is busy."""
        return self.is_too_much and not self._exceeds(_STOP_S)

    def _exceeds(self, stop_s: float) -> bool:
        if self.budget_percent >= _ALL_PERCENT:
            return False
        load = load_of(self.rate, self.usable_sizes, stop_s)
        return self.rate.reason is not None or load * 100 > self.budget_percent


def explain(
    demand: Demand,
    is_inline: bool,
    kind: ProbeKind = ProbeKind.AUTO,
    refusal: str = "",
) -> Chosen:
    """Return how a process is recorded, and why, by what was measured.

    Args:
        demand: What it would take.
        is_inline: Whether it is recorded inline.
        kind: What the user asked for.
        refusal: Why it is not recorded inline, if that was tried.

    >>> busy = Demand(Rate(33_000, 33_000), usable_sizes=False, budget_percent=30)
    >>> str(explain(busy, is_inline=True))
    'inline: 66,000 calls/s are too many for breakpoints within 30 %'
    >>> calm = busy._replace(rate=Rate(50, 50))
    >>> str(explain(calm, is_inline=False))
    'breakpoints: 100 calls/s stop it for about 2.2 % of the time, within 30 %'
    >>> str(explain(calm._replace(crowding=14.2), is_inline=True))
    'inline: 100 calls/s may be too many for breakpoints within 30 % on this host, which is busy'
    >>> str(explain(busy, is_inline=False, refusal="there is no room"))
    'bursts: 66,000 calls/s are too many for breakpoints within 30 %; no inline: there is no room'

    """
    why = _weigh(demand)
    way = BURSTS if demand.is_too_much else BREAKPOINTS
    way = INLINE if is_inline else way
    if refusal:
        why += f"; no inline: {refusal}"
    elif kind is not ProbeKind.AUTO:
        why = f"--probe {kind.value} asks for that" + ("" if is_inline else f"; {why}")
    return Chosen(way, why)


def _weigh(demand: Demand) -> str:
    """Say what breakpoints would cost, measured by the budget."""
    rate, usable_sizes, budget_percent, _ = demand
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
    if demand.is_too_much:
        are = "are" if percent > budget_percent else "may be"
        here = " on this host, which is busy" if demand.is_too_much_here else ""
        return f"{said} {are} too many for breakpoints within {budget_percent:g} %{here}"
    stops = f"stop it for about {round_number(percent)} % of the time"
    return f"{said} {stops}, within {budget_percent:g} %"


def choose_way(
    kind: ProbeKind,
    demand: Demand,
    try_inline: Callable[[], Way],
    use_breakpoints: Callable[[], Way],
) -> Way:
    """Return the way to record a process.

    With AUTO these are breakpoints where they certainly can record everything within the budget,
    inline where they may not, and breakpoints again, in bursts, where inline is refused.

    Args:
        kind: What the user asked for.
        demand: What recording it would take.
        try_inline: Returns the way to record inline, or raises why the process cannot be.
        use_breakpoints: Returns the way to record by breakpoints.

    Raises:
        TargetError, DebuggerError, ElfError: the user asked for inline, and it was refused.

    """
    if kind is ProbeKind.BREAKPOINT or (kind is ProbeKind.AUTO and not demand.is_too_much):
        return replace(use_breakpoints(), chosen=explain(demand, is_inline=False, kind=kind))
    try:
        way = try_inline()
    except _REFUSALS as error:
        if kind is not ProbeKind.AUTO:
            raise
        return refuse(error, use_breakpoints(), demand)
    return replace(way, chosen=explain(demand, is_inline=True, kind=kind))


def refuse(error: GdbleakError, way: Way, demand: Demand) -> Way:
    """Return a way that is taken because inline was refused by an error."""
    chosen = explain(demand, is_inline=False, refusal=str(error))
    return replace(way, chosen=chosen)
