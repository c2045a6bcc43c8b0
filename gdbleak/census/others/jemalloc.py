"""The blocks of jemalloc, from what it keeps of every extent of pages. Pure.

Source: jemalloc 5.0 to 5.3.1, include/jemalloc/internal: rtree.h, edata.h (before 5.3:
extent_structs.h), sc.h and sz.h. Its tree knows every extent. An extent is a slab of blocks of one
size, and says how many of them are free; or one large block; or free itself. So this does not
depend on its statistics, which are off in some builds and refreshed on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.others.jemalloc_caches import count_cached
from gdbleak.census.others.structures import Leaf, Memory, Shape, Tree, Words, iter_trees
from gdbleak.census.others.told import Told, merge
from gdbleak.effort import Effort
from gdbleak.memory.pieces import Range
from gdbleak.memory.source import Searchable
from gdbleak.report.heap import Amount, SizeClass

_PAGE_BITS = 12
_PAGE_BYTES = np.uint64(1 << _PAGE_BITS)
_SHAPES = (
    Shape(_PAGE_BITS, (18, 18), flags=0x7F),
    Shape(_PAGE_BITS, (18, 18), flags=0x1),
    Shape(_PAGE_BITS, (15, 15, 15), entry_words=2),
)
"""For addresses of 48 bits, since 5.3 and before; for 57, as where it is built for any machine."""
_ADDRESS, _SIZE, _BITMAP = 1, 2, 8
"""Words of an extent: where it is, how long it is, and from where on bits tell which are free."""
_RECORD_WORDS = 16
_MOST_BLOCKS = 512
"""In a slab."""
_CLASSES = 160
"""So many sizes are below 2 TiB; no blocks are larger."""
_TABLES = (
    np.array([8, 16, 32, 48, 64, 80, 96, 112, 128, 160], np.uint64),
    np.array([8, 16, 24, 32, 40, 48, 56, 64, 80, 96], np.uint64),
    np.array([16, 32, 48, 64, 80, 96, 112, 128, 160, 192], np.uint64),
)
"""How its table of sizes begins, by the option --with-lg-quantum: 4, 3, and 4 without tiny ones."""
_PLAUSIBLE = 0.5
_RIGHT = 0.97
"""Such a share of the extents has to be as the layout has it; others change while they are read."""


class _NoTreeError(Exception):
    """What seemed to be a tree of extents is something else."""


class _Layout(NamedTuple):
    """Where the first word of an extent has its fields: their lowest bits, and how many bits."""

    state: tuple[int, int]
    size_class: int
    free: int

    def bits(self, words: Words, field: tuple[int, int]) -> Words:
        return words >> np.uint64(field[0]) & np.uint64((1 << field[1]) - 1)


_LAYOUTS = (_Layout((17, 3), 20, 28), _Layout((16, 2), 18, 26), _Layout((15, 2), 17, 25))
"""Since 5.3; since 5.1; 5.0."""
_IS_SLAB = (12, 1)


class _Extents(NamedTuple):
    """Extents, a row of words each."""

    rows: Words

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def addresses(self) -> Words:
        return self.rows[:, _ADDRESS] // _PAGE_BYTES * _PAGE_BYTES

    @property
    def bytes(self) -> Words:
        return self.rows[:, _SIZE] // _PAGE_BYTES * _PAGE_BYTES

    @property
    def flags(self) -> Words:
        return self.rows[:, 0]

    def count_set_bits(self, blocks: Words) -> Words:
        """Return how many bits are set in the bitmap of each, for so many blocks each.

        What is behind the last word of a bitmap is left from another use.
        """
        words = np.arange(_RECORD_WORDS - _BITMAP, dtype=np.uint64) * np.uint64(64)
        bitmaps = np.where(words[None, :] < blocks[:, None], self.rows[:, _BITMAP:], 0)
        bits = np.unpackbits(np.ascontiguousarray(bitmaps, np.uint64).view(np.uint8), axis=1)
        counts: Words = bits.sum(axis=1).astype(np.uint64)
        return counts


def read_jemalloc(process: Searchable, data: list[Range], effort: Effort) -> Told | None:
    """Return the blocks of jemalloc; None if its structures are not what they are known to be.

    Args:
        process: What is read.
        data: Where the variables of the module are that holds it.
        effort: What reading may take.

    Raises:
        EffortError: it is used up.

    """
    memory = Memory(process, effort)
    table = _find_sizes(memory, data)
    if table is None:
        return None
    for shape in _SHAPES:
        for tree in iter_trees(memory, data, shape, lambda records: _pages_of(memory, records)):
            with suppress(_NoTreeError):
                if (told := _Census(memory, tree, table).take(data)) is not None:
                    return told
    return None


def _pages_of(memory: Memory, records: Words) -> Words:
    pages: Words = memory.gather(records, _SIZE)[:, _ADDRESS] >> np.uint64(_PAGE_BITS)
    return pages


def _find_sizes(memory: Memory, data: Iterable[Range]) -> Words | None:
    """Return jemalloc's table of the sizes that it rounds requests up to."""
    for address, words in memory.iter_touched(data):
        for begin in _TABLES:
            at = np.flatnonzero((words[:-1] == begin[0]) & (words[1:] == begin[1]))
            for place in at.tolist():
                table = memory.words(address + 8 * place, _CLASSES)
                steps = np.diff(table.astype(np.float64))
                if (table[: len(begin)] == begin).all() and (steps > 0).all():
                    return table
    return None


class _Census:
    """Counts extents leaf by leaf, each once: at its first page."""

    def __init__(self, memory: Memory, tree: Tree, table: Words) -> None:
        self._memory = memory
        self._tree = tree
        self._table = table
        self._in_use = np.zeros(_CLASSES, np.int64)
        self._free = np.zeros(_CLASSES, np.int64)
        self._large_bytes = np.zeros(_CLASSES, np.int64)
        self._pad = 0
        self._idle = dict.fromkeys(range(1, 4), 0)
        self._ranges: list[tuple[int, int]] = []

    def take(self, data: list[Range]) -> Told | None:
        """Return what was counted; None where the data do not prove that they are extents."""
        layout, waiting = None, []
        for extents in self._iter_extents():
            layout = layout or self._prove(extents)
            waiting.append(extents)
            if layout is not None:  # extents that are free tell nothing about the layout
                for each in waiting:
                    if not self._fits(each, layout):
                        return None
                    self._add(each, layout)
                waiting.clear()
        if layout is None:
            return None
        cached, threads = count_cached(self._memory, data)
        taken = np.minimum(self._in_use[: len(cached)], cached)
        self._in_use[: len(cached)] -= taken
        self._free[: len(cached)] += taken
        return Told(tuple(self._classes(taken)), merge(self._ranges), self._explain(threads))

    def _classes(self, cached: NDArray[np.int64]) -> list[SizeClass]:
        """Return the size classes, those that take most first; some blocks of each are cached."""
        found = []
        for number in np.flatnonzero(self._in_use + self._free).tolist():
            size, used, free = (int(a[number]) for a in (self._table, self._in_use, self._free))
            low = bytes_each = size
            if whole := int(self._large_bytes[number]):
                low = int(self._table[number - 1]) + 1
                all_of_them = used + (int(cached[number]) if number < len(cached) else 0)
                bytes_each = min(whole // all_of_them - self._pad, size)
            amounts = Amount(used, used * bytes_each), Amount(free, free * bytes_each)
            found.append(SizeClass(low, size, *amounts))
        return sorted(found, key=lambda each: (-each.in_use.bytes, each.low))

    def _iter_extents(self) -> Iterator[_Extents]:
        for leaf in self._tree.iter_leaves():
            self._memory.spend(len(leaf.pages) // 8)
            extents = self._first_of(leaf)
            if len(extents):
                yield extents

    def _first_of(self, leaf: Leaf) -> _Extents:
        records, which = np.unique(leaf.records, return_inverse=True)
        self._ranges += [
            (int(part[0]), int(part[-1]) + 8 * _RECORD_WORDS)
            for part in np.split(records, np.flatnonzero(np.diff(records) > 1 << 20) + 1)
        ]
        extents = _Extents(self._memory.gather(records, _RECORD_WORDS))
        begins = extents.addresses[which]
        pages = leaf.pages << np.uint64(_PAGE_BITS)
        inside = (begins <= pages) & (pages < begins + extents.bytes[which])
        if np.count_nonzero(inside) < _PLAUSIBLE * len(inside):
            raise _NoTreeError
        return _Extents(extents.rows[which[(begins == pages) & inside]])

    def _prove(self, extents: _Extents) -> _Layout | None:
        """Return the layout that fits the extents, by their bitmaps where there are slabs."""
        return next((each for each in _LAYOUTS if self._fits(extents, each, True)), None)

    def _fits(self, extents: _Extents, layout: _Layout, strictly: bool = False) -> bool:
        states = layout.bits(extents.flags, layout.state)
        classes = layout.bits(extents.flags, (layout.size_class, 8))
        free = layout.bits(extents.flags, (layout.free, 10))
        slab = layout.bits(extents.flags, _IS_SLAB) == 1
        active = states == 0
        known = classes < _CLASSES
        size = self._table[np.where(known, classes, 0).astype(np.int64)]
        room = np.where(slab, extents.bytes // size, 1)
        below = self._table[np.where(known & (classes > 0), classes - 1, 0).astype(np.int64)]
        good = known & (free <= room) & (room <= _MOST_BLOCKS)
        good &= np.where(slab, size, below) <= extents.bytes
        if strictly and (active & slab).any():
            good &= ~slab | (extents.count_set_bits(room) == free)
        right = int(np.count_nonzero(good & active))
        return bool(right >= _RIGHT * np.count_nonzero(active)) and (right > 0 or not strictly)

    def _add(self, extents: _Extents, layout: _Layout) -> None:
        states = layout.bits(extents.flags, layout.state)
        classes = layout.bits(extents.flags, (layout.size_class, 8)).astype(np.int64)
        slab = layout.bits(extents.flags, _IS_SLAB) == 1
        active = (states == 0) & (classes < _CLASSES)
        small = active & slab
        room = extents.bytes[small] // self._table[classes[small]]
        free = np.minimum(layout.bits(extents.flags, (layout.free, 10))[small], room)
        np.add.at(self._in_use, classes[small], (room - free).astype(np.int64))
        np.add.at(self._free, classes[small], free.astype(np.int64))
        large = active & ~slab
        self._add_large(_Extents(extents.rows[large]), classes[large])
        for state in self._idle:
            self._idle[state] += int(extents.bytes[states == state].sum())
        ends = extents.addresses + extents.bytes
        self._ranges += merge(zip(extents.addresses.tolist(), ends.tolist()))

    def _add_large(self, extents: _Extents, classes: NDArray[np.int64]) -> None:
        """Add large blocks; since 5.3.1 their sizes are whole pages of any number.

        In most builds a page is added, and the block begins somewhere in the first, so that blocks
        do not compete for the same lines of the processor's cache.
        """
        moved = extents.rows[:, _ADDRESS] % np.uint64(1 << _PAGE_BITS) > 0
        self._pad = max(self._pad, (1 << _PAGE_BITS) * int(moved.any()))
        np.add.at(self._in_use, classes, 1)
        np.add.at(self._large_bytes, classes, extents.bytes.astype(np.int64))

    def _explain(self, threads: int) -> tuple[str, ...]:
        dirty, muzzy, retained = (self._idle[state] >> 10 for state in (1, 2, 3))
        notes = [
            "its blocks were counted by its own extents and slabs",
            f"free pages that it keeps: {dirty:,} kB dirty, {muzzy:,} kB muzzy (given back when"
            f" memory is short), {retained:,} kB only reserved",
        ]
        if threads:
            whose = "a thread" if threads == 1 else f"{threads} threads"
            notes.append(f"blocks in the cache of {whose} are counted as free")
        else:
            notes.append("blocks in the caches of threads count as in use: no cache was found")
        return tuple(notes)
