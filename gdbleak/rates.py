"""How often a process allocates, from counts that slowed it down while they were made. Pure.

A counted call holds its thread up. Some functions are counted together, and the most called one
of them alone: how much less processor time a call of it takes then tells what a counted call
costs, and so what a call takes when nothing is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SMALL = 0.2
"""Up to this share of the time, the cost of counting is only bounded: the error is half of it."""
_COST_RANGE = (0.9, 1.3)
"""What a counted call costs in the process, in terms of what it costs in a loop of our own.
Measured: 0.95 to 1.25."""
_COST_ERROR = 0.15
"""How well the cost of a counted call is known once it was measured in the process."""
_RESOLVED = 0.25
"""What is between the counted calls is not known when it is less than so many times their cost."""


@dataclass(frozen=True)
class Count:
    """What was counted of some functions."""

    calls: tuple[float, ...]
    """Of each of them; where threads stand for others, an estimate for all."""
    wall_s: float
    """For how long it was counted."""
    busy_s: float
    """For how long the threads that were counted ran meanwhile, and those they stand for."""


@dataclass(frozen=True)
class SetCount:
    """Counts of functions that are counted together."""

    allocates: tuple[bool, ...]
    """Of each function, whether it hands out blocks."""
    together: Count
    alone: Count | None = None
    """The most called one alone, where counting costs enough to be worth measuring."""


@dataclass(frozen=True)
class Rate:
    """How often a process calls its allocator, as far as that is known."""

    allocations_per_s: float
    frees_per_s: float
    at_least: bool = False
    """It calls so often that counting cannot tell how often: these are lower bounds."""
    reason: str | None = None
    """Why nothing is known; the rates are then 0."""

    @property
    def is_known(self) -> bool:
        """Whether anything was measured."""
        return self.reason is None


def unknown(reason: str) -> Rate:
    """Return a rate that was not measured."""
    return Rate(0, 0, reason=reason)


def is_costly(count: Count, hit_s: float) -> bool:
    """Whether counting took so much of the time that its cost must be measured."""
    return sum(count.calls) * hit_s > _SMALL * count.wall_s


def estimate(sets: Sequence[SetCount], hit_s: float, cpu_per_s: float) -> Rate:
    """Return the rate of a process that nobody counts.

    Args:
        sets: What was counted, one after the other.
        hit_s: What a counted call costs a thread of our own that makes it, in seconds.
        cpu_per_s: Seconds of processor time that the process takes in a second.

    """
    allocations = frees = 0.0
    at_least = False
    for each in sets:
        count = each.together
        if not sum(count.calls):
            continue
        if not is_costly(count, hit_s):
            # A thread with time to spare makes up for what the counting took, another does not.
            scale = 1 / (count.wall_s - sum(count.calls) * hit_s / 2)
        else:
            own_s, is_known = _own_time(each, hit_s)
            at_least |= not is_known
            scale = cpu_per_s / own_s
        for calls, allocates in zip(count.calls, each.allocates):
            allocations += calls * scale * allocates
            frees += calls * scale * (not allocates)
    return Rate(allocations, frees, at_least)


def _own_time(each: SetCount, hit_s: float) -> tuple[float, bool]:
    """Return the processor time that the calls would have taken had nobody counted them.

    It is an upper bound when the other value is False.
    """
    together, alone = each.together, each.alone
    calls, most = sum(together.calls), max(together.calls)
    least_s, most_s = (hit_s * factor for factor in _COST_RANGE)
    single = sum(alone.calls) if alone is not None else 0
    if alone is not None and single and calls >= 1.5 * most:
        # A call of the most called function, with all of them counted and with it alone.
        difference_s = together.busy_s / most - alone.busy_s / single
        cost_s = min(max(difference_s / (calls / most - 1), least_s), most_s)
        error = _COST_ERROR
        # What it alone has cost is the smaller part to take away.
        counted_s, hits = alone.busy_s / single * most, most
    else:
        cost_s = (least_s * most_s) ** 0.5
        error = most_s / cost_s - 1
        counted_s, hits = together.busy_s, calls
    own_s = counted_s - cost_s * hits
    floor_s = (_RESOLVED + error) * cost_s * hits
    return max(own_s, floor_s), own_s >= floor_s
