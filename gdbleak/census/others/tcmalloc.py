"""The blocks of gperftools' tcmalloc, from what it keeps of every span of pages. Pure.

Source: gperftools 2.8 to 2.18, src/span.h, pagemap.h, common.h, thread_cache.h and
central_freelist.h. A span in use is cut into blocks of one size, and counts those that it has
handed out; or it is one large block. What it has handed out may wait in caches: those of threads,
and one for each size that threads exchange batches through.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.others.structures import Memory, Shape, Tree, Words, iter_trees
from gdbleak.census.others.tcmalloc_caches import count_exchanged, count_of_threads
from gdbleak.census.others.told import Told, merge
from gdbleak.effort import Effort
from gdbleak.memory.pieces import Range
from gdbleak.memory.source import Searchable
from gdbleak.report.heap import Amount, SizeClass

_SHAPES = (Shape(13, (17, 18)), Shape(16, (16, 16)), Shape(12, (18, 18)))
"""For pages of 8 KiB, and as built with --with-tcmalloc-pagesize."""
_SPAN_WORDS = 6
_IN_USE = 0
_CLASSES = 128
_FIRST_SIZES = (
    np.array([0, 8, 16, 32, 48, 64, 80, 96, 112, 128], np.int32),
    np.array([0, 8, 16, 24, 32, 40, 48, 56, 64, 80], np.int32),
    np.array([0, 16, 32, 48, 64, 80, 96, 112, 128, 144], np.int32),
)
_LARGEST_SMALL = 1 << 20
_PLAUSIBLE, _RIGHT = 0.5, 0.97


def read_tcmalloc(process: Searchable, data: list[Range], effort: Effort) -> Told | None:
    """Return the blocks of tcmalloc; None if its structures are not what they are known to be.

    Args:
        process: What is read.
        data: Where the variables of the module are that holds it.
        effort: What reading may take.

    Raises:
        EffortError: it is used up.

    """
    memory = Memory(process, effort)
    sizes = _find_sizes(memory, data)
    if sizes is None:
        return None
    for shape in _SHAPES:
        for tree in iter_trees(memory, data, shape, lambda spans: memory.gather(spans, 1)[:, 0]):
            census = _Census(memory, tree, sizes)
            if census.count():
                return census.tell(data)
    return None


def _find_sizes(memory: Memory, data: list[Range]) -> NDArray[np.int64] | None:
    """Return tcmalloc's table of the sizes that it rounds small requests up to."""
    for address, words in memory.iter_touched(data):
        halves = words.view(np.int32)
        for begin in _FIRST_SIZES:
            at = np.flatnonzero((halves[:-1] == 0) & (halves[1:] == begin[1]))
            for place in at.tolist():
                table = memory.words(address + 4 * place & ~7, _CLASSES // 2 + 1).view(np.int32)
                table = table[place % 2 :][:_CLASSES]
                steps = np.diff(table[: int(np.argmax(table)) + 1].astype(np.int64))
                if (table[: len(begin)] == begin).all() and (steps > 0).all():
                    return np.where(table > 0, table, 0).astype(np.int64)
    return None


class _Census:
    """Counts spans leaf by leaf, each once: at its first page."""

    def __init__(self, memory: Memory, tree: Tree, sizes: NDArray[np.int64]) -> None:
        self._memory = memory
        self._tree = tree
        self._sizes = sizes
        self._in_use = np.zeros(_CLASSES, np.int64)
        self._free = np.zeros(_CLASSES, np.int64)
        self._entries = np.zeros(2, np.int64)
        """Entries of the tree: those whose span has their page, and all."""
        self._large: dict[int, int] = {}
        self._idle = [0, 0]
        self._ranges: list[tuple[int, int]] = []

    def count(self) -> bool:
        """Count all spans; False where the data do not prove that they are spans."""
        right = seen = 0
        for rows in self._iter_spans():
            good = self._are_right(rows)
            right += int(np.count_nonzero(good))
            seen += len(good)
            if right < _RIGHT * seen:
                return False
            self._add(rows[good])
        inside, entries = self._entries.tolist()
        return right > 0 and inside > _PLAUSIBLE * entries

    def _iter_spans(self) -> Iterator[Words]:
        for leaf in self._tree.iter_leaves():
            self._memory.spend(len(leaf.pages) // 8)
            records, which = np.unique(leaf.records, return_inverse=True)
            rows = self._memory.gather(records, _SPAN_WORDS)
            inside = rows[which, 0] <= leaf.pages
            inside &= leaf.pages - rows[which, 0] < rows[which, 1]
            self._entries += np.array([np.count_nonzero(inside), len(inside)])
            # Entries of pages that lay at an end of another span once are still there.
            yield rows[which[rows[which, 0] == leaf.pages]]

    def _are_right(self, rows: Words) -> NDArray[np.bool_]:
        taken, number, location = _fields(rows)
        size = self._sizes[np.minimum(number, _CLASSES - 1)]
        room = np.where(size > 0, self._bytes_of(rows) // np.maximum(size, 1), 1)
        good = (rows[:, 1] > 0) & (rows[:, 1] < 1 << 35) & (number < _CLASSES) & (location <= 2)
        good &= ((location != _IN_USE) | (taken <= room)) & ((number == 0) | (size > 0))
        right: NDArray[np.bool_] = good
        return right

    def _bytes_of(self, rows: Words) -> NDArray[np.int64]:
        return rows[:, 1].astype(np.int64) << self._tree.shape.page_bits

    def _add(self, rows: Words) -> None:
        taken, number, location = _fields(rows)
        lengths = self._bytes_of(rows)
        small = (location == _IN_USE) & (number > 0)
        room = lengths[small] // self._sizes[number[small]]
        np.add.at(self._in_use, number[small], taken[small])
        np.add.at(self._free, number[small], room - taken[small])
        for length in lengths[(location == _IN_USE) & (number == 0)].tolist():
            self._large[length] = self._large.get(length, 0) + 1
        for state in (1, 2):
            self._idle[state - 1] += int(lengths[location == state].sum())
        starts = rows[:, 0].astype(np.int64) << self._tree.shape.page_bits
        self._ranges += merge(zip(starts.tolist(), (starts + lengths).tolist()))

    def tell(self, data: list[Range]) -> Told:
        """Return what was counted, without what waits in caches."""
        cached, caches = count_of_threads(self._memory, data, self._sizes)
        exchanged = count_exchanged(self._memory, data)
        notes = [
            "its blocks were counted by its own spans of pages",
            f"free spans that it keeps: {self._idle[0] >> 10:,} kB,"
            f" and {self._idle[1] >> 10:,} kB that were given back to the kernel",
            "blocks in the caches of threads are counted as free"
            if caches
            else "blocks in the caches of threads count as in use: no cache was found",
        ]
        if exchanged is None:
            notes.append("blocks that wait between threads count as in use: they were not found")
        taken = np.minimum(cached + (0 if exchanged is None else exchanged), self._in_use)
        self._in_use -= taken
        self._free += taken
        return Told(tuple(self._classes()), merge(self._ranges), tuple(notes))

    def _classes(self) -> list[SizeClass]:
        found = [
            SizeClass(size, size, Amount(used, used * size), Amount(free, free * size))
            for size, used, free in zip(
                self._sizes.tolist(), self._in_use.tolist(), self._free.tolist()
            )
            if used or free
        ]
        found += [
            SizeClass(size, size, Amount(count, count * size), Amount())
            for size, count in self._large.items()
        ]
        return sorted(found, key=lambda each: (-each.in_use.bytes, each.low))


def _fields(rows: Words) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return of spans how many blocks are handed out, the class of their size, where they are."""
    word = rows[:, 5].astype(np.int64)
    return word & 0xFFFF, word >> 16 & 0xFF, word >> 24 & 3
