"""Which block an address is in, for millions of addresses at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.pieces import PAGE_BYTES, WORD_BYTES, Words
from gdbleak.memory.ranks import Ranks

Numbers = NDArray[np.int64]
"""Numbers of blocks, by the order of their addresses; -1 for none."""

_ADDRESS_BITS = np.uint64((1 << 48) - 1)
"""The upper bits of a word may be a tag."""
_FEWEST_BITS, _MOST_BITS = 16, 24
_SPARSE = 8
"""There is room for so many times as many grains of memory as hold a block."""
_FINEST = 4
"""How many bits of an address lie within the smallest grain: no allocator's blocks are smaller."""
_GRAINS_EACH, _FEWEST_GRAINS = 4, 1 << 14
"""The blocks may take so many grains together, whatever they are; else the grains are larger."""
_MOST_GRAINS = 1 << 22
"""More would mark a good part of all grains, and the marks would tell nothing."""
_AT_ONCE = 1 << 18
"""So many blocks are worked on at once: what comes up on the way takes memory too."""
_SCATTER, _SCATTER_BITS = np.uint64(0x9E3779B97F4A7C15), np.uint64(64 - _MOST_BITS)
"""The golden ratio: what is multiplied by it has upper bits that depend on all of its bits."""


class Table:
    """Blocks that do not overlap, by their addresses."""

    def __init__(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Take blocks, as address and size in bytes, in order of address."""
        pairs = np.array(blocks, np.uint64).reshape(-1, 2)
        self._take(np.ascontiguousarray(pairs[:, 0]), pairs[:, 1])

    @classmethod
    def of_arrays(cls, starts: Words, sizes: Words) -> Table:
        """Return the table of blocks whose addresses and sizes in bytes are in arrays already."""
        table = cls.__new__(cls)
        table._take(starts, sizes)
        return table

    def choose(self, chosen: NDArray[np.bool_]) -> Table:
        """Return the table of some of the blocks."""
        starts = self.starts[chosen]
        return Table.of_arrays(starts, self.ends[chosen] - starts)

    def _take(self, starts: Words, sizes: Words) -> None:
        self.starts = starts
        self.ends = np.maximum(sizes, np.uint64(1))
        self.ends += starts
        self._low = starts[0] if len(starts) else np.uint64(0)
        # What points behind the last byte of a block belongs to it, unless another begins there.
        self._span = (self.ends.max() - self._low + np.uint64(1)) if len(starts) else np.uint64(0)
        self._grain, self._marks = self._mark_grains()
        self._ranks = Ranks(starts)

    def __len__(self) -> int:
        return len(self.starts)

    def _mark_grains(self) -> tuple[np.uint64, NDArray[np.bool_]]:
        """Return how many bits of an address lie within a grain, and which grains hold blocks.

        The latter in two rows, by the last bits of their numbers and of what these are scattered
        to. That tells of most words at once that they refer to no block, and of nearly all others.
        """
        most = min(max(_GRAINS_EACH * len(self), _FEWEST_GRAINS), _MOST_GRAINS)
        grain = np.uint64(_FINEST)
        while True:
            total = sum(int(counts.sum()) for _, counts in self._iter_grains(grain))
            if total <= most:
                break
            grain += np.uint64(1)
        bits = min(max((total * _SPARSE).bit_length(), _FEWEST_BITS), _MOST_BITS)
        marks = np.zeros((2, 1 << bits), bool)
        last_bits = np.uint64(marks.shape[1] - 1)
        for first, counts in self._iter_grains(grain):
            before = np.repeat(first - (counts.cumsum() - counts), counts)
            grains = (before + np.arange(len(before))).astype(np.uint64)
            marks[0, grains & last_bits] = True
            marks[1, _scatter(grains) & last_bits] = True
        return grain, marks

    def _iter_grains(self, grain: np.uint64) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield first grains of blocks and how many each takes that those before it do not."""
        taken = -1
        for at in range(0, len(self), _AT_ONCE):
            starts, ends = self.starts[at : at + _AT_ONCE], self.ends[at : at + _AT_ONCE]
            first = ((starts - self._low) >> grain).astype(np.int64)
            last = ((ends - self._low) >> grain).astype(np.int64)
            before = np.concatenate([[taken], np.maximum.accumulate(last)[:-1]])
            first = np.maximum(first, before + 1)
            yield first, np.maximum(last + 1 - first, 0)
            taken = max(taken, int(last.max()))

    def find(self, words: Words) -> tuple[Numbers, Numbers]:
        """Return which words refer to blocks, by their positions, and to which.

        A reference is an address within a block, or right behind it. What stands in the upper 16
        bits does not count.
        """
        offsets = (words - self._low) & _ADDRESS_BITS
        positions = np.flatnonzero(offsets < self._span)
        offsets = offsets[positions]
        grains = offsets >> self._grain
        last_bits = np.uint64(self._marks.shape[1] - 1)
        marked = np.flatnonzero(self._marks[0][grains & last_bits])
        marked = marked[self._marks[1][_scatter(grains[marked]) & last_bits]]
        if not len(marked):
            return marked, marked
        positions, addresses = positions[marked], offsets[marked] + self._low
        numbers = self._ranks.count(addresses) - 1
        ends = self.ends[numbers]
        inside = (numbers >= 0) & (addresses <= ends)
        # The end of a vector is behind its last byte. But where a page begins there, a word refers
        # to the mapping that follows.
        inside &= (addresses < ends) | (ends % np.uint64(PAGE_BYTES) > 0)
        return positions[inside], numbers[inside]

    def holding(self, places: Words) -> Numbers:
        """Return in which block each place is; -1 for those outside."""
        if not len(self.starts):
            return np.full(len(places), -1)
        numbers = np.searchsorted(self.starts, places, "right") - 1
        # The last word of a block may lie in it only in part.
        ends = (self.ends[numbers] + np.uint64(WORD_BYTES - 1)) & ~np.uint64(WORD_BYTES - 1)
        return np.where((numbers >= 0) & (places < ends), numbers, -1)


def _scatter(grains: Words) -> Words:
    """Return numbers that say nothing of each other for grains that lie near each other."""
    return (grains * _SCATTER) >> _SCATTER_BITS
