"""Which block an address is in, for millions of addresses at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.pieces import WORD_BYTES, Words

Numbers = NDArray[np.int64]
"""Numbers of blocks, by the order of their addresses; -1 for none."""

_PAGE_BITS = 12
_ADDRESS_BITS = np.uint64((1 << 48) - 1)
"""The upper bits of a word may be a tag."""
_FEWEST_BITS, _MOST_BITS = 16, 24
_MOST_PAGES = 1 << 24
"""If blocks have more, there is no page table: every word in range is looked up then."""
_SHORT_PAGES = 16
"""The pages of blocks that have no more are noted together, those of others block by block."""


class Table:
    """Blocks that do not overlap, by their addresses."""

    def __init__(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Take blocks, as address and size in bytes, in order of address."""
        self.starts = np.array([address for address, _ in blocks], np.uint64)
        sizes = np.array([max(size, 1) for _, size in blocks], np.uint64)
        self.ends = self.starts + sizes
        self._low = self.starts[0] if blocks else np.uint64(0)
        # What points behind the last byte of a block belongs to it, unless another begins there.
        self._span = (self.ends.max() - self._low + np.uint64(1)) if blocks else np.uint64(0)
        self._pages = self._mark_pages()

    def __len__(self) -> int:
        return len(self.starts)

    def _mark_pages(self) -> NDArray[np.bool_] | None:
        """Return whether a block is in a page, by the last bits of the page's number."""
        first = self.starts >> np.uint64(_PAGE_BITS)
        counts = ((self.ends >> np.uint64(_PAGE_BITS)) - first).astype(np.int64) + 1
        total = int(counts.sum())
        if total > _MOST_PAGES:
            return None
        bits = min(max((total * 16).bit_length(), _FEWEST_BITS), _MOST_BITS)
        marks = np.zeros(1 << bits, bool)
        # Page by page of those blocks that reach so far: nearly all of them are short.
        for number in range(_SHORT_PAGES):
            marks[(first + np.uint64(number)) & np.uint64(len(marks) - 1)] = True
            reaching = counts > number + 1
            first, counts = first[reaching], counts[reaching]
        for page, count in zip(first, counts.tolist()):
            rest = np.arange(_SHORT_PAGES, count, dtype=np.uint64) + page
            marks[rest & np.uint64(len(marks) - 1)] = True
        return marks

    def find(self, words: Words) -> tuple[Numbers, Numbers]:
        """Return which words refer to blocks, by their positions, and to which.

        A reference is an address within a block, or right behind it. What stands in the upper 16
        bits does not count.
        """
        addresses = words & _ADDRESS_BITS
        positions = np.flatnonzero(addresses - self._low < self._span)
        if self._pages is not None and len(positions):
            pages = addresses[positions] >> np.uint64(_PAGE_BITS)
            positions = positions[self._pages[pages & np.uint64(len(self._pages) - 1)]]
        if not len(positions):
            return positions, positions
        addresses = addresses[positions]
        numbers = np.searchsorted(self.starts, addresses, "right") - 1
        inside = (numbers >= 0) & (addresses <= self.ends[numbers])
        return positions[inside], numbers[inside]

    def holding(self, places: Words) -> Numbers:
        """Return in which block each place is; -1 for those outside."""
        if not len(self.starts):
            return np.full(len(places), -1)
        numbers = np.searchsorted(self.starts, places, "right") - 1
        # The last word of a block may lie in it only in part.
        ends = (self.ends[numbers] + np.uint64(WORD_BYTES - 1)) & ~np.uint64(WORD_BYTES - 1)
        return np.where((numbers >= 0) & (places < ends), numbers, -1)
