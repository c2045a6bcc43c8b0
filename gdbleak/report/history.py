"""How something changes in the course of a window, part by part. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

PARTS = 32
"""Into how many equal parts a window is divided; a multiple of four."""

QUARTER = PARTS // 4

OLD_SHARE = 0.25
"""A block is old when it has lived for this share of the time in which it was watched."""


@dataclass(frozen=True)
class Span:
    """A window and its tail, in nanoseconds on the recording's clock."""

    opened_ns: int
    closed_ns: int
    """When the window ended, and the tail began."""
    end_ns: int
    """When the tail ended: when the window did, without one."""

    @cached_property
    def window_ns(self) -> int:
        """Length of the window."""
        return self.closed_ns - self.opened_ns

    @cached_property
    def observed_ns(self) -> int:
        """Length of the window and its tail."""
        return self.end_ns - self.opened_ns

    def is_old(self, born_ns: int) -> bool:
        """Whether a block that was there when the window closed had got old by then."""
        return self.closed_ns - born_ns >= self.window_ns * OLD_SHARE

    def part(self, time_ns: int) -> int:
        """Return in which part of the window something happened, from 0; `PARTS` in the tail.

        >>> [Span(0, 320, 400).part(time_ns) for time_ns in (0, 9, 10, 319, 320, 399)]
        [0, 0, 1, 31, 31, 32]

        """
        if time_ns > self.closed_ns:
            return PARTS
        after_ns = time_ns - self.opened_ns
        if after_ns <= 0:
            return 0
        # The very end of the window belongs to its last part.
        part = after_ns * PARTS // self.window_ns
        return part if part < PARTS else PARTS - 1

    def spread(self, from_ns: int, to_ns: int, count: int) -> list[tuple[int, int]]:
        """Return how many of a count fall in which part, if they are spread evenly over a time.

        >>> Span(0, 320, 400).spread(5, 25, 10), Span(0, 320, 400).spread(315, 335, 4)
        ([(0, 2), (1, 6), (2, 2)], [(31, 1), (32, 3)])

        """
        first, last = self.part(from_ns), self.part(to_ns)
        if first == last or to_ns <= from_ns:
            return [(last, count)]
        shares, given = [], 0
        for part in range(first, last + 1):
            ends_ns = self.opened_ns + self.window_ns * (part + 1) // PARTS
            until_ns = to_ns if part == last else min(ends_ns, to_ns)
            due = round(count * max(until_ns - from_ns, 0) / (to_ns - from_ns))
            shares.append((part, max(due - given, 0)))
            given = max(due, given)
        return [(part, share) for part, share in shares if share]

    def times_s(self) -> tuple[float, ...]:
        """Return when the parts end, in seconds since the window began."""
        return tuple(self.window_ns * part / PARTS / 1e9 for part in range(1, PARTS + 1))


class Series:
    """A sum that changes."""

    def __init__(self) -> None:
        self._changes = array("q", bytes(8 * (PARTS + 1)))

    def add(self, part: int, amount: int) -> None:
        """Add an amount, or take one away, in a part of the window or in its tail."""
        self._changes[part] += amount

    def merge(self, other: Series) -> None:
        """Add all that was added to another."""
        for part, amount in enumerate(other._changes):
            self._changes[part] += amount

    def total(self, first: int = 0, last: int = PARTS) -> int:
        """Return what was added from one part on until before another."""
        return sum(self._changes[first:last])

    def totals(self) -> tuple[int, ...]:
        """Return the sum at the end of each part of the window."""
        return tuple(accumulate(self._changes[:PARTS]))
