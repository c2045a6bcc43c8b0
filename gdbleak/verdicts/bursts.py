"""When a window was recorded, burst by burst, and what that stands for. Pure.

A burst is slow motion: a thread that allocates all the time gets done in it what it usually does in
a moment, while what a clock brings about goes on at its own pace. So a recorded block stands for
some number of others between two bounds: by the share of the time that was recorded, and by the
share of the calls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

from gdbleak.ledger.blocks import LAST_SHARE
from gdbleak.recording.events import Turn
from gdbleak.recording.phases import Phase
from gdbleak.recording.rate import Rate
from gdbleak.report.window import Sampling

_SLOWEST = 0.99
"""A process that is said to have stood still for more of a burst is taken to have run for the
rest: it did record something."""


class Burst(NamedTuple):
    """A part of a window in which everything was recorded; times in nanoseconds."""

    start_ns: int
    until_ns: int
    """Blocks that were born later do not count: the frees of many come after the burst."""
    end_ns: int
    calls: int
    """Calls in it that allocate."""


@dataclass(frozen=True)
class Bursts:
    """The bursts of a window."""

    all: tuple[Burst, ...]
    window_ns: int
    """From the first of them to the end of the window."""
    misses: bool
    """Whether there were times between them in which nothing was recorded."""

    @property
    def recorded_ns(self) -> int:
        """Length of all bursts together."""
        return sum(burst.end_ns - burst.start_ns for burst in self.all)

    @property
    def counted_ns(self) -> int:
        """Length of the parts whose blocks count."""
        return sum(burst.until_ns - burst.start_ns for burst in self.all)


def find_bursts(turns: Iterable[tuple[Turn, int]], end_ns: int, calls: int) -> Bursts:
    """Return in which parts of a window everything was recorded.

    Args:
        turns: Which breakpoints were in from when on, each with how many calls that allocate had
            been recorded by then.
        end_ns: When the window ended, its tail aside.
        calls: How many calls there were in all.

    """
    bursts: list[Burst] = []
    first_ns = start_ns = since_ns = before = 0
    admits = misses = is_out = False
    for turn, count in (*turns, (None, calls)):
        time_ns = end_ns if turn is None else min(turn.time_ns, end_ns)
        phase = Phase.FREES if turn is None or turn.time_ns >= end_ns else turn.phase
        # That only frees are recorded from some time on means that the window is over.
        misses |= is_out and time_ns > since_ns
        first_ns, since_ns = first_ns or time_ns, time_ns
        if phase.admits and not admits:
            start_ns, before = time_ns, count
        elif admits and not phase.admits:
            last_ns = round((time_ns - start_ns) * LAST_SHARE) if phase is Phase.NONE else 0
            bursts.append(Burst(start_ns, time_ns - last_ns, time_ns, count - before))
        admits, is_out = phase.admits, phase is Phase.NONE
        if turn is not None and turn.time_ns >= end_ns:
            break
    return Bursts(tuple(bursts), end_ns - first_ns, misses)


def measure_sampling(
    bursts: Bursts,
    calls: int,
    rate: Rate,
    stopped_s: float | None = None,
    never_freed: float = 0.0,
) -> Sampling | None:
    """Return what share of a window was recorded; None when all of it was.

    Args:
        bursts: Of the window.
        calls: How many calls that allocate were recorded.
        rate: How many there are in a second when nobody slows the target, if that is known.
        stopped_s: For how long the target stood still; None where that is not known.
        never_freed: See `Sampling`.

    """
    if not bursts.misses:
        return None
    recorded_ns = max(bursts.recorded_ns, 1)
    by_time = bursts.window_ns / recorded_ns
    by_calls = rate.allocations_per_s * bursts.window_ns / 1e9 / max(calls, 1)
    scale = max(by_time, by_calls)
    most = scale
    if stopped_s is not None and (rate.at_least or rate.reason is not None):
        # Nobody knows how much it does on its own: at most what it does while it does not stand.
        most = max(most, by_time / (1 - min(stopped_s * 1e9 / recorded_ns, _SLOWEST)))
    return Sampling(
        bursts=len(bursts.all),
        recorded_s=bursts.recorded_ns / 1e9,
        recorded_calls=calls,
        calls=round(calls * by_calls) if by_calls > by_time and not rate.at_least else None,
        scale=scale,
        scale_low=by_time,
        scale_high=most,
        never_freed=never_freed,
    )


def favours_clock(births: Sequence[int], bursts: Bursts) -> float:
    """Return by how much births go with the time of bursts rather than with their calls.

    That of the logarithms of the two likelihoods: above 0 where a burst has as many births as it is
    long, below where it has as many as it has calls. About 0 where all bursts are alike.

    Args:
        births: When blocks were born, ascending.
        bursts: In which they were.

    """
    counts = count_in(births, bursts)
    time = sum(burst.until_ns - burst.start_ns for burst in bursts.all)
    calls = sum(burst.calls for burst in bursts.all)
    return sum(
        count * log((burst.until_ns - burst.start_ns) / time / (burst.calls / calls))
        for count, burst in zip(counts, bursts.all)
        if count and burst.calls
    )


def count_in(births: Sequence[int], bursts: Bursts) -> list[int]:
    """Return how many of some times, in ascending order, are in the counted part of each burst."""
    return [
        bisect_left(births, burst.until_ns) - bisect_left(births, burst.start_ns)
        for burst in bursts.all
    ]
