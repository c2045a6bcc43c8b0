"""How often a process allocates, from counts that slowed it down while they were made. Pure.

A counted call holds its thread up. Some functions are counted together, and the most called one
of them alone. How much less processor time a call of it takes then tells what a counted call costs,
and so what a call takes when nothing is counted. A process that waits for its work may make up for
what the counting took. How many more calls there are of the one alone tells whether it does, and
its rate lies between the one that was seen and the one that the processor time allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gdbleak.recording.rate import Rate

_SMALL = 0.03
"""Counting that takes no more of the time is not corrected for."""
_COST, _COST_ERROR = 1.08, 0.2
"""What a counted call costs in the process, in terms of what it costs in a loop of our own, and
how well that is known. Measured: 0.93 to 1.2 on one virtual machine."""
_BELIEVED = (0.8, 1.5)
"""What it may cost there, in the same terms; a measurement that says otherwise is noise."""
_MEASURED_ERROR = 0.15
"""How well the cost is known that was measured in the process."""
_SEEN_MARGIN = 1.35
"""By how much a rate that was seen in a few slices may be too high, to be taken as a bound.
Measured: up to 1.25 for a thread that waits between its calls."""
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


def is_costly(count: Count, hit_s: float) -> bool:
    """Whether counting took so much of the time that its cost must be measured."""
    return sum(count.calls) * hit_s > _SMALL * count.wall_s


def estimate(sets: Sequence[SetCount], hit_s: float, cpu_per_s: float, is_busy: bool) -> Rate:
    """Return the rate of a process that nobody counts.

    Args:
        sets: What was counted, one after the other.
        hit_s: What a counted call costs a thread of our own that makes it, in seconds.
        cpu_per_s: Seconds of processor time that the process takes in a second.
        is_busy: Whether the threads that ran have always something to do.

    """
    allocations = frees = 0.0
    at_least = False
    for each in sets:
        count = each.together
        if not sum(count.calls):
            continue
        if not is_costly(count, hit_s) and not is_busy:
            scale = 1 / count.wall_s
        else:
            own_s, is_known = _own_time(each, hit_s)
            elapsed_s = own_s / cpu_per_s
            if not is_busy:
                seen_s, extrapolated_s = _elapsed(each)
                is_known |= extrapolated_s > elapsed_s
                elapsed_s = (
                    min(max(extrapolated_s, elapsed_s), seen_s)
                    if is_known
                    else seen_s * _SEEN_MARGIN
                )
            at_least |= not is_known
            scale = 1 / elapsed_s
        for calls, allocates in zip(count.calls, each.allocates):
            allocations += calls * scale * allocates
            frees += calls * scale * (not allocates)
    return Rate(allocations, frees, at_least)


def _own_time(each: SetCount, hit_s: float) -> tuple[float, bool]:
    """Return the processor time that the calls would have taken had nobody counted them.

    It is an upper bound when the other value is False.
    """
    counted_s, hits = each.together.busy_s, sum(each.together.calls)
    cost_s, error = _COST * hit_s, _COST_ERROR
    pair = _compare(each, lambda count: count.busy_s)
    if pair is not None:
        alone_s, measured_s, calls = pair
        if _BELIEVED[0] * hit_s < measured_s < _BELIEVED[1] * hit_s:
            # What the one function alone has cost is the smaller part to take away.
            counted_s, hits = alone_s * calls, calls
            cost_s, error = measured_s, _MEASURED_ERROR
    own_s = counted_s - cost_s * hits
    floor_s = (_RESOLVED + error) * cost_s * hits
    return max(own_s, floor_s), own_s >= floor_s


def _elapsed(each: SetCount) -> tuple[float, float]:
    """Return how long the calls took at the most, and would have taken by extrapolation."""
    pair = _compare(each, lambda count: count.wall_s)
    if pair is None:
        return each.together.wall_s, 0.0
    alone_s, cost_s, calls = pair
    assert each.alone is not None
    # Both counts together: the higher of two noisy rates would be too high more often than not.
    number = each.alone.calls.index(max(each.alone.calls))
    both = each.together.calls[number] + each.alone.calls[number]
    seen_s = (each.together.wall_s + each.alone.wall_s) / both * calls
    return seen_s, (alone_s - cost_s) * calls


def _compare(
    each: SetCount, time_of: Callable[[Count], float]
) -> tuple[float, float, float] | None:
    """Compare the times of the function that was counted alone and with others.

    Returns:
        The time of a call of it alone, by how much each other counted call adds to that, and how
        many calls of it there were among others; None when they are too few to learn from, or
        nearly all.

    """
    together, alone = each.together, each.alone
    if alone is None or not sum(alone.calls):
        return None
    calls = together.calls[alone.calls.index(max(alone.calls))]
    if sum(alone.calls) < calls / 10 or sum(together.calls) < 1.5 * calls:
        return None
    alone_s = time_of(alone) / sum(alone.calls)
    others = sum(together.calls) / calls - 1
    return alone_s, (time_of(together) / calls - alone_s) / others, calls
