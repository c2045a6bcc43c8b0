"""Sums over the chunks of a heap: by size, by state, and what keeps free memory. Pure."""

from __future__ import annotations

from collections import Counter

import numpy as np

from gdbleak.heap.chunk import SMALLEST_CHUNK
from gdbleak.heap.chunks import Piece
from gdbleak.heap.snapshot import PAGE_BYTES
from gdbleak.heap.walk import GRAIN, Words

_EXACT = 1 << 12
"""Chunks of fewer grains are counted in an array; of larger ones a heap cannot have many."""
_LINKS_BYTES = 48
"""What stays of a free chunk when its pages are given back. Source: `mtrim` in malloc/malloc.c."""
_MOST_USED = PAGE_BYTES // SMALLEST_CHUNK + 1
"""So many chunks in use take more than a page."""


class BySize:
    """How many chunks there are of each size."""

    def __init__(self) -> None:
        self._small = np.zeros(0, np.int64)
        self._large: Counter[int] = Counter()

    def add(self, sizes: Words, times: int = 1) -> None:
        """Count chunks of these sizes in bytes; with `times` -1, count them no more."""
        grains = (sizes // np.uint64(GRAIN)).astype(np.int64)
        small = grains < _EXACT
        found = times * np.bincount(grains[small], minlength=len(self._small))
        found[: len(self._small)] += self._small
        self._small = found
        for size in sizes[~small].tolist():
            self._large[size] += times

    def counts(self) -> dict[int, int]:
        """Return how many chunks there are of each size in bytes."""
        found = np.flatnonzero(self._small > 0)
        counts = dict(zip((found * GRAIN).tolist(), self._small[found].tolist()))
        counts.update((size, count) for size, count in self._large.items() if count > 0)
        return counts

    @property
    def total(self) -> tuple[int, int]:
        """How many chunks there are, and how many bytes they take."""
        counts = self.counts()
        return sum(counts.values()), sum(size * count for size, count in counts.items())


class Tail:
    """The last blocks in use of a heap before its top, of a page all together or only one."""

    def __init__(self) -> None:
        self._used: list[tuple[int, int, int]] = []
        """Chunk, size, and how much is free between it and the one before, in bytes."""
        self._free = 0
        """Bytes behind the last of them."""

    def add(self, piece: Piece) -> None:
        """Take the chunks that follow."""
        free = np.where(piece.used, 0, piece.sizes.astype(np.int64)).cumsum()
        before = -self._free
        for place in np.flatnonzero(piece.used)[-_MOST_USED:].tolist():
            chunk, size = int(piece.chunks[place]), int(piece.sizes[place])
            self._used.append((chunk, size, int(free[place]) - before))
            before = int(free[place])
        self._free = (int(free[-1]) if len(free) else 0) - before
        taken = sum(size for _, size, _ in self._used)
        while taken > PAGE_BYTES and len(self._used) > 1:
            taken -= self._used.pop(0)[1]

    def find_pin(self) -> tuple[int, int, int] | None:
        """Return the last block in use, its chunk's size, and how much before it is free."""
        if not self._used:
            return None
        chunk, size, _ = self._used[-1]
        return chunk, size, sum(free for _, _, free in self._used)


class Resident:
    """Which pages of a range are in memory, to be asked about parts of it."""

    def __init__(self, start: int, end: int, runs: list[tuple[int, int]]) -> None:
        """Take the range, and the runs of its pages that are in memory."""
        self._start = start = start & -PAGE_BYTES
        pages = np.zeros(-(-(end - start) // PAGE_BYTES) + 1, np.int64)
        for low, high in runs:
            first = max(low - start, 0) // PAGE_BYTES
            last = -(-(min(high, end) - start) // PAGE_BYTES)
            pages[first + 1 : last + 1] = 1
        self._before = pages.cumsum()

    def within(self, chunks: Words, sizes: Words) -> int:
        """Return how many bytes of free chunks are whole pages in memory, without their links."""
        whole = sizes >= PAGE_BYTES
        low = chunks[whole].astype(np.int64) + _LINKS_BYTES - self._start
        high = low - _LINKS_BYTES + sizes[whole].astype(np.int64)
        first, last = -(-low // PAGE_BYTES), high // PAGE_BYTES
        fits = (last > first) & (first >= 0) & (last < len(self._before))
        return int((self._before[last[fits]] - self._before[first[fits]]).sum()) * PAGE_BYTES
