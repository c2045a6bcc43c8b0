"""Where a stack repeats itself: recursion of one function, or of a few that call each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_LONGEST = 16
"""How many frames a cycle may have; inlining makes a cycle of a few functions longer."""
_FEWEST_TIMES = 3


class Cycle(NamedTuple):
    """Frames that occur several times in a row."""

    start: int
    length: int
    times: int

    @property
    def first_end(self) -> int:
        """Where the first occurrence ends."""
        return self.start + self.length

    @property
    def end(self) -> int:
        """Where the last occurrence ends."""
        return self.start + self.length * self.times


def find_cycles(frames: Sequence[str]) -> Iterator[Cycle]:
    """Yield the cycles in a stack, in order; they do not overlap.

    >>> list(find_cycles("xababababy"))
    [Cycle(start=1, length=2, times=4)]
    """
    start = 0
    while start < len(frames):
        cycles = (_cycle_at(frames, start, length) for length in range(1, _LONGEST + 1))
        repeated = [cycle for cycle in cycles if cycle.times >= _FEWEST_TIMES]
        if repeated:
            best = max(repeated, key=lambda cycle: cycle.end - cycle.first_end)
            yield best
            start = best.end
        else:
            start += 1


def _cycle_at(frames: Sequence[str], start: int, length: int) -> Cycle:
    first = frames[start : start + length]
    end = start + length
    while len(first) == length and frames[end : end + length] == first:
        end += length
    return Cycle(start, length, (end - start) // length)
