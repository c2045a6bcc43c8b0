"""What the parts of a process's memory are to a search for references: roots, blocks, or nothing.

Pure. What is no root and not left out consists of blocks, whoever handed them out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from enum import Enum
from heapq import heappop, heappush
from typing import NamedTuple

from gdbleak.memory.pieces import WORD_BYTES, Range, subtract


class Kind(Enum):
    """What words in an area are."""

    MODULE = "module"
    """Variables of the program or of a library."""
    STACK = "stack"
    THREAD = "thread"
    """What a thread has of its own: variables, and what the C library knows of it."""
    REGISTER = "register"
    """No part of the memory."""
    SHARED = "shared"
    """Memory of other processes too, or of a file."""
    DEAD = "dead"
    """What returned functions have left behind."""
    ALLOCATOR = "allocator"
    """What the allocator knows of free blocks."""


ROOTS = (Kind.MODULE, Kind.STACK, Kind.THREAD, Kind.SHARED)


class Area(NamedTuple):
    """A part of the memory, from an address up to the one behind it."""

    start: int
    end: int
    kind: Kind
    name: str = ""
    """Of the file, of shared memory."""
    thread: int = 0
    """Whose it is; 0 where that does not apply."""


class Territory:
    """The areas of a process, in whole words."""

    def __init__(self, areas: Iterable[Area], left_out: Iterable[tuple[int, int]] = ()) -> None:
        """Take them.

        Args:
            areas: The first wins where two overlap.
            left_out: From where to where the allocator keeps what belongs to nobody, in order.

        """
        self._left_out = [
            Range(-(-start // WORD_BYTES) * WORD_BYTES, end & -WORD_BYTES)
            for start, end in left_out
        ]
        self._ends = [end for _, end in self._left_out]
        self.areas = _lay_out([_in_words(area) for area in areas])
        self._starts = [area.start for area in self.areas]

    def find(self, address: int) -> Area | None:
        """Return the area that an address is in; None where blocks are."""
        index = bisect_right(self._ends, address)
        if index < len(self._ends) and self._left_out[index].start <= address:
            return Area(*self._left_out[index], Kind.ALLOCATOR)
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self.areas[index].end:
            return self.areas[index]
        return None

    def split(self, ranges: Iterable[Range]) -> tuple[list[Range], list[Range]]:
        """Return the parts of some ranges that are roots, and those that consist of blocks.

        All are in order of address.
        """
        ranges = subtract(ranges, self._left_out)
        blocks = subtract(ranges, [Range(area.start, area.end) for area in self.areas])
        no_roots = [Range(area.start, area.end) for area in self.areas if area.kind not in ROOTS]
        return subtract(ranges, sorted([*blocks, *no_roots])), blocks


def _in_words(area: Area) -> Area:
    start, end = area.start & -WORD_BYTES, -(-area.end // WORD_BYTES) * WORD_BYTES
    return area._replace(start=start, end=end)


def _lay_out(areas: list[Area]) -> list[Area]:
    """Return areas side by side, in order of address: where two overlap, the first one is there."""
    by_start = sorted(range(len(areas)), key=lambda number: areas[number].start)
    edges = sorted({edge for area in areas for edge in (area.start, area.end)})
    waiting = deque(by_start)
    begun: list[int] = []
    parts: list[tuple[int, Area]] = []
    for left, right in zip(edges, edges[1:]):
        while waiting and areas[waiting[0]].start <= left:
            heappush(begun, waiting.popleft())
        while begun and areas[begun[0]].end <= left:
            heappop(begun)
        if not begun:
            continue
        number = begun[0]
        if parts and parts[-1][0] == number and parts[-1][1].end == left:
            parts[-1] = number, parts[-1][1]._replace(end=right)
        else:
            parts.append((number, areas[number]._replace(start=left, end=right)))
    return [area for _, area in parts]
