"""Which block of glibc's malloc an address is in, when no list of blocks is at hand. Pure.

A chunk says how long it is, and nothing says where it begins. So whatever looks like a chunk that
reaches over the address is tried: the chunks behind it must follow each other, and chunks before it
must lead to it. What an earlier use has left inside a block looks like chunks too, but nothing
before the block leads there.

Of other allocators nothing is found: their blocks have no sizes before them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.heap.chunk import (
    BLOCK,
    FLAGS,
    IS_MMAPPED,
    LARGEST_CHUNK,
    PREV_INUSE,
    SIZE,
    SMALLEST_CHUNK,
    is_size,
)
from gdbleak.heap.snapshot import PAGE_BYTES
from gdbleak.readable import Readable

_WINDOWS = (1 << 12, 1 << 15, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28)
"""How far before the address a chunk may begin, tried in turn."""
_BEFORE = 1 << 14
"""How far before a chunk others are looked for that lead to it."""
_HOPS, _FEW_HOPS = 8, 2
"""So many chunks one behind another are no accident; fewer will do where something refers to the
block that is said to begin there."""
_LED = 4
"""So many chunks before it that lead to a chunk are enough to stop."""
_MOST_TRIED = 64
_PAGE_BITS = 12
_MOST_PAGES = 4096


class Extent(NamedTuple):
    """A block, by the addresses that its program may use."""

    start: int
    end: int
    is_free: bool
    """Whether the chunk behind it says so. Blocks in caches and fast bins are not marked so."""


_WALK_BYTES = 1 << 20


class _Words:
    """Words that are asked for in order of address."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._low, self._words = 0, memoryview(b"").cast("Q")

    def at(self, address: int) -> int:
        """Return the word at an address; 0 where none can be read."""
        place = (address - self._low) >> 3
        if not 0 <= place < len(self._words):
            data = self._source.read(address, _WALK_BYTES)
            self._low, self._words = address, memoryview(data[: len(data) & -8]).cast("Q")
            place = 0
        return self._words[place] if self._words else 0


def walk(source: Readable, chunk: int, end: int) -> Iterator[Extent]:
    """Yield the blocks of one heap from its first chunk on, until it ends or makes no sense.

    So nothing that an earlier use has left can be taken for a chunk.

    Args:
        source: The memory of the process, which runs.
        chunk: The first chunk.
        end: Of the mapping.

    """
    words = _Words(source)
    size = words.at(chunk + SIZE)
    while is_size(size) and not size & IS_MMAPPED:
        following = chunk + (size & ~FLAGS)
        if following + BLOCK > end:
            return
        size = words.at(following + SIZE)
        is_free = not size & PREV_INUSE
        yield Extent(chunk + BLOCK, following + (0 if is_free else SIZE), is_free)
        chunk = following


class Chunks:
    """Finds the chunks of a process. What was read is kept for a while, and not read again."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._pages: dict[int, memoryview] = {}

    def find(self, address: int, region: tuple[int, int]) -> Extent | None:
        """Return the block that an address is in; None if it is in no chunk of glibc's malloc.

        Args:
            address: Any address in it.
            region: Start and end of the mapping around it.

        """
        best: tuple[int, Extent] | None = None
        low = high = (address & -16) + 16
        for window in _WINDOWS:
            high, low = low, max(region[0], address - window) & -16
            for chunk in self._candidates(low, high, address):
                found = self.check(chunk, address, region, _HOPS)
                if found is None:
                    continue
                led = _HOPS if self._is_mmapped(chunk) else self._count_before(chunk, region[0])
                if best is None or led > best[0]:
                    best = led, found
            if (best and best[0] >= _LED) or low <= region[0]:
                break
        return best[1] if best else None

    def check(
        self, chunk: int, address: int, region: tuple[int, int], hops: int = _FEW_HOPS
    ) -> Extent | None:
        """Return the block of a chunk, if this is one, and the address is in it.

        Args:
            chunk: What may be a chunk.
            address: Of a word in its block.
            region: Start and end of the mapping around it.
            hops: How many chunks have to follow each other from it on, unless the mapping ends.

        """
        size = self._word(chunk + SIZE)
        if not is_size(size) or chunk < region[0]:
            return None
        end = chunk + (size & ~FLAGS)
        if size & IS_MMAPPED:
            fits = self._is_mmapped(chunk) and chunk + BLOCK <= address < end <= region[1]
            return Extent(chunk + BLOCK, end, False) if fits else None
        if not chunk + BLOCK <= address < end + SIZE or end > region[1]:
            return None
        if end == region[1]:
            return Extent(chunk + BLOCK, end, True)  # what is left at the end of the arena
        behind = self._word(end + SIZE)
        is_free = not behind & PREV_INUSE
        if is_free and self._word(end) != size & ~FLAGS:
            return None
        if not self._follow(end, region[1], hops):
            return None
        return Extent(chunk + BLOCK, end + (0 if is_free else SIZE), is_free)

    def _follow(self, chunk: int, end: int, hops: int) -> bool:
        """Whether so many chunks follow each other from here on, or up to the end."""
        for _ in range(hops):
            size = self._word(chunk + SIZE)
            behind = chunk + (size & ~FLAGS)
            # The last chunk of a heap that is not the last of its arena is two words long, or none.
            if behind >= end or (size & ~FLAGS) in (0, 16):
                return behind <= end and size & PREV_INUSE > 0
            if not is_size(size) or size & IS_MMAPPED:
                return False
            chunk = behind
        return True

    def _candidates(self, low: int, high: int, address: int) -> Iterator[int]:
        """Yield what may be chunks in a range that reach over an address, the nearest first."""
        sizes = self._sizes(low, high)
        needed = np.uint64(address - low) - np.arange(0, 16 * len(sizes), 16).astype(np.uint64)
        places = np.flatnonzero((sizes + np.uint64(SIZE) > needed) & (sizes < LARGEST_CHUNK))
        chunks = low + 16 * places[_are_sizes(sizes[places])]
        yield from reversed(chunks[chunks + BLOCK <= address].tolist()[-_MOST_TRIED:])

    def _count_before(self, chunk: int, start: int) -> int:
        """Return how many chunks before one lead to it, one after another.

        The first chunk of a mapping needs none.
        """
        low = max(start, chunk - _BEFORE) & -16
        sizes = self._sizes(low, chunk)
        if chunk - start <= BLOCK or not len(sizes):
            return _HOPS
        last = len(sizes)
        counts = [0] * (last + 1)
        if low <= start:
            counts[0] = _HOPS
        for place in np.flatnonzero(_are_sizes(sizes)).tolist():
            behind = place + (int(sizes[place]) >> 4)
            if behind <= last and counts[behind] <= counts[place]:
                counts[behind] = counts[place] + 1
        return counts[last]

    def _is_mmapped(self, chunk: int) -> bool:
        """Whether a chunk has a mapping of its own.

        Until 2.42 it reaches to the end of the mapping; since 2.43 two words are behind it.
        """
        size = self._word(chunk + SIZE)
        before = self._word(chunk) & -16
        rest = (before + (size & ~FLAGS)) % PAGE_BYTES
        whole = not (chunk - before) % PAGE_BYTES and rest in (0, PAGE_BYTES - 16)
        return bool(size & IS_MMAPPED) and whole

    def _sizes(self, low: int, high: int) -> NDArray[np.uint64]:
        """Return what would be the sizes of chunks from one address to another, both times 16."""
        data = self._source.read(low, high - low)
        return np.frombuffer(data, np.uint64, len(data) // 16 * 2)[1::2]

    def _word(self, address: int) -> int:
        page = self._pages.get(address >> _PAGE_BITS)
        if page is None:
            if len(self._pages) >= _MOST_PAGES:
                self._pages.clear()
            data = self._source.read(address & -PAGE_BYTES, PAGE_BYTES)
            page = memoryview(data[: len(data) & -8]).cast("Q")
            self._pages[address >> _PAGE_BITS] = page
        at = (address & PAGE_BYTES - 1) >> 3
        word: int = page[at] if at < len(page) else 0
        return word


def _are_sizes(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return the same as `is_size` for many words."""
    fits = words - np.uint64(SMALLEST_CHUNK) < np.uint64(LARGEST_CHUNK - SMALLEST_CHUNK)
    result: NDArray[np.bool_] = fits & ((words & np.uint64(8)) == 0)
    return result
