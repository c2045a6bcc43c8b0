"""What an allocator's own structures tell of its memory, in the form that every allocator's take.

Pure. Blocks are counted by the sizes that the allocator rounds requests up to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gdbleak.memory.pieces import Range
from gdbleak.report.heap import Amount, SizeClass


class Count(NamedTuple):
    """Blocks of one size."""

    in_use: int
    free: int


class Told(NamedTuple):
    """What could be read of an allocator's structures, and was proved by their data."""

    sizes: tuple[SizeClass, ...]
    """Those that take most first."""
    ranges: tuple[Range, ...]
    """Where its memory is, as far as the structures tell: in order of address, without overlaps."""
    notes: tuple[str, ...] = ()

    @property
    def in_use(self) -> Amount:
        """All blocks that are in use."""
        return Amount(
            sum(each.in_use.count for each in self.sizes),
            sum(each.in_use.bytes for each in self.sizes),
        )


def size_classes(counts: Mapping[int, Count]) -> tuple[SizeClass, ...]:
    """Return counts by the size of the blocks as size classes, those that take most first."""
    classes = [
        SizeClass(
            size,
            size,
            Amount(count.in_use, count.in_use * size),
            Amount(count.free, count.free * size),
        )
        for size, count in counts.items()
        if count.in_use or count.free
    ]
    return tuple(sorted(classes, key=lambda each: (-each.in_use.bytes, each.low)))


def merge(ranges: Iterable[tuple[int, int]]) -> tuple[Range, ...]:
    """Return ranges in order of address, those that touch or overlap as one."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1].end:
            merged[-1] = Range(merged[-1].start, max(end, merged[-1].end))
        elif start < end:
            merged.append(Range(start, end))
    return tuple(merged)
