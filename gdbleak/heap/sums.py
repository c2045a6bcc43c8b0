"""Sums over the chunks of a heap: by size, by state, and what keeps free memory. Pure."""

from __future__ import annotations

from collections import Counter

import numpy as np

from gdbleak.heap.chunk import SMALLEST_CHUNK
from gdbleak.heap.chunks import Piece
from gdbleak.heap.snapshot import PAGE_BYTES
from gdbleak.heap.walk import GRAIN, Words

_EXACT = 1 << 16
"""Chunks of fewer grains are counted in an array."""
_LINKS_BYTES = 48
"""What stays of a free chunk when its pages are given back. Source: `mtrim` in malloc/malloc.c."""
_MOST_USED = PAGE_BYTES // SMALLEST_CHUNK + 1
"""So many chunks in use take more than a page."""


class BySize:
    """How many chunks there are of each size."""

    def __init__(self) -> None:
        self._small = np.zeros(_EXACT, np.int64)
        self._large: Counter[int] = Counter()

    def add(self, sizes: Words, times: int = 1) -> None:
        """Count chunks of these sizes in bytes; with `times` -1, count them no more."""
        grains = (sizes // np.uint64(GRAIN)).astype(np.int64)
        small = grains < _EXACT
        self._small += times * np.bincount(grains[small], minlength=_EXACT)
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
    """The last chunks of a heap before its top, as far back as little of them is in use."""

    def __init__(self) -> None:
        none = np.zeros(0, np.uint64)
        self._chunks, self._sizes, self._used = none, none, np.zeros(0, bool)

    def add(self, piece: Piece) -> None:
        """Take the chunks that follow."""
        enough = np.flatnonzero(piece.used)[-_MOST_USED:]
        last = slice(int(enough[0]) if len(enough) == _MOST_USED else 0, None)
        chunks = np.concatenate([self._chunks, piece.chunks[last]])
        sizes = np.concatenate([self._sizes, piece.sizes[last]])
        used = np.concatenate([self._used, piece.used[last]])
        taken = np.where(used, sizes, 0)[::-1].cumsum()[::-1]
        first = int(np.searchsorted(-taken.astype(np.int64), -PAGE_BYTES))
        self._chunks, self._sizes, self._used = chunks[first:], sizes[first:], used[first:]

    def find_pin(self) -> tuple[int, int, int] | None:
        """Return the last block in use, its chunk's size, and how much before it is free."""
        used = np.flatnonzero(self._used)
        if not len(used):
            return None
        last = int(used[-1])
        free = int(self._sizes[:last][~self._used[:last]].sum())
        return int(self._chunks[last]), int(self._sizes[last]), free


class Resident:
    """Which pages of a range are in memory, to be asked about parts of it."""

    def __init__(self, start: int, end: int, runs: list[tuple[int, int]]) -> None:
        """Take the range, and the runs of its pages that are in memory."""
        self._start = start
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
