"""Which blocks of glibc's malloc are free, told from the memory of a process that runs. Pure.

A block that is reported free is free: several words say so that cannot all have these values while
it is in use, and they say so again when they are read again. A block that is not reported may be
free all the same. A block that was freed and whose address was handed out again is in use.

The states of a free block, and what tells them:

- on a list of its arena, or a part of a larger chunk there: `gdbleak.heap.lists`;
- behind the last block of its arena: `gdbleak.heap.arenas.find_top`;
- in the cache of a thread: `gdbleak.heap.tcache`;
- in memory that is no longer mapped;
- within a block that was handed out since: the word before it was the size of a chunk at an earlier
  look, and is not now.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cached_property
from itertools import chain, islice
from struct import unpack

from gdbleak.effort import Effort, EffortError
from gdbleak.heap.arenas import Arena, arenas_of_heap, find_arenas, find_top, iter_first_blocks
from gdbleak.heap.chunk import (
    BLOCK,
    FLAGS,
    IS_MMAPPED,
    MARK_OFFSET,
    NON_MAIN_ARENA,
    PREV_INUSE,
    SIZE,
    SIZE_OFFSET,
    is_size,
)
from gdbleak.heap.layouts import HEAP_BYTES
from gdbleak.heap.lists import Range, SingleList, is_binned, iter_binned, iter_fast_bins
from gdbleak.heap.snapshot import PAGE_BYTES, Snapshot
from gdbleak.heap.tcache import is_cached, random_words, read_cache
from gdbleak.readable import Readable

_ADDRESSES = range(1 << 16, 1 << 47, 16)
_BATCH = 4096
"""How many blocks share a snapshot, which takes up to two pages for each."""
_DATA_LIMIT = 1 << 20
_HEAPS_LIMIT = 16
_CACHES_LIMIT = 256
_CHUNKS_LIMIT = 20_000
"""How many chunks on lists of either kind are looked at: more take too long."""
LOOK_STEPS, LOOK_S = 2_000_000, 0.8
"""How many steps and seconds one look at the heap may take."""
_WEAK_LOOKS = 8
"""How often a list is read whose blocks only its links tell to be free.

A program may take a block from the list, write something like a link to it and put it back, again
and again. To be misled, every one of these looks has to fall in between.
"""


def _effort() -> Effort:
    """Return what one call may take: Ctrl-C is not heeded while it lasts."""
    return Effort(LOOK_STEPS, seconds=LOOK_S)


class Heap:
    """The heap of one process.

    `data` is the range of addresses of libc's writable data (`find_data`). Without it, the main
    arena is only found if another arena leads to it, and few tcaches are found.
    """

    def __init__(self, source: Readable, data: tuple[int, int] | None) -> None:
        self._source = source
        self._data = data
        self._chunks: set[int] = set()

    @cached_property
    def marks(self) -> set[int]:
        """Words that may mark blocks in the cache of a thread, since glibc 2.34: see `tcache`.

        Empty if there is no such mark, or it is unknown. Words that mark nothing may be among them.
        """
        return random_words(_read_words(self._source, self._data))

    @cached_property
    def main_arena(self) -> Arena | None:
        """The arena of the heap that grows by brk; None if it was not found."""
        return next(iter(self.arenas), None)

    @cached_property
    def arenas(self) -> list[Arena]:
        """All arenas, that of the heap which grows by brk first; empty if that was not found."""
        words = _read_words(self._source, self._data)
        start = self._data[0] if self._data else 0
        try:
            return find_arenas(Snapshot(self._source, _effort()), words, start)
        except EffortError:
            return []

    def find_quickly(self, blocks: Collection[int]) -> set[int]:
        """Return which of these blocks lie in the cache of a thread, or behind the last one in use.

        That takes little longer than reading a word of each. It finds blocks that were freed just
        now; most of them are handed out again a moment later.

        Raises:
            EffortError: it would take too long.

        """
        effort = _effort()
        memory = Snapshot(self._source, effort)
        memory.fetch(blocks)
        found = {
            block
            for block in blocks
            if (mark := memory.word(block + MARK_OFFSET)) in self.marks
            and is_cached(memory, block, mark)
        }
        if self.main_arena:
            tops = [find_top(Snapshot(self._source, effort), self.main_arena) for _ in range(2)]
            starts, ends = zip(*(top or (0, 0) for top in tops))
            found.update(block for block in blocks if max(starts) < block < min(ends))
        return found

    def find_freed(self, blocks: Iterable[int]) -> set[int]:
        """Return which of these blocks are free, by their addresses as malloc returned them.

        Blocks of another allocator are only found if their memory is not mapped any more.

        Raises:
            EffortError: it would take too long to follow the lists of the heap.

        """
        effort = _effort()
        asked = {block for block in blocks if block in _ADDRESSES}
        first = _Look(self._source, self._data, self._chunks, effort)
        freed = first.find_freed(asked)
        second = _Look(self._source, self._data, self._chunks, effort)
        freed = second.find_freed(freed, first.free)
        self._chunks |= first.chunks
        self._chunks &= asked - freed
        return freed


def _read_words(source: Readable, data: tuple[int, int] | None) -> tuple[int, ...]:
    if not data:
        return ()
    found = source.read(data[0], min(data[1] - data[0], _DATA_LIMIT))
    return unpack(f"<{len(found) // 8}Q", found[: len(found) & -8])


class _Look:
    """One look at the heap."""

    def __init__(
        self, source: Readable, data: tuple[int, int] | None, known: set[int], effort: Effort
    ) -> None:
        self._source = source
        self._effort = effort
        self._start = data[0] if data else 0
        self._words = _read_words(source, data)
        self._marks = random_words(self._words)
        self._known = known
        self.chunks: set[int] = set()
        """Blocks that look like chunks in use."""
        self._second_words: Counter[int] = Counter()
        self._heaps: set[int] = set()
        self.free: set[Range] = set()
        """Start and end of the memory in which blocks were found."""

    def find_freed(self, blocks: set[int], chunks: set[Range] | None = None) -> set[int]:
        """Return which blocks are free; if `chunks` are given, no other chunks in bins count."""
        ordered = sorted(blocks)
        freed: set[int] = set()
        for first in range(0, len(ordered), _BATCH):
            freed |= self._find_marked(ordered[first : first + _BATCH])
        return freed | self._find_listed(blocks - freed, chunks)

    def _find_marked(self, blocks: list[int]) -> set[int]:
        """Return those that are free by the words before, in and behind them."""
        memory = Snapshot(self._source, self._effort)
        memory.fetch(block + SIZE_OFFSET for block in blocks)
        sizes = [(block, memory.word(block + SIZE_OFFSET)) for block in blocks]
        memory.fetch(block + (size & ~FLAGS) for block, size in sizes if is_size(size))
        freed, unreadable = set(), set()
        for block, size in sizes:
            if not is_size(size):
                if block in self._known:
                    freed.add(block)
                if not size and not memory.is_readable(block + SIZE_OFFSET):
                    unreadable.add(block)
            elif size & IS_MMAPPED:
                if _is_mapped_for_itself(memory, block, size):
                    self.chunks.add(block)
            elif found := self._find_chunk(memory, block, size):
                self.free.add(found)
                freed.add(block)
        # Nothing can be read of a process that has ended: that does not make its blocks free.
        anchor = self._start or next((at for at in blocks if at not in unreadable), 0)
        return freed | unreadable if self._source.read(anchor, 8) else set()

    def _find_chunk(self, memory: Snapshot, block: int, size: int) -> Range | None:
        """Return the free chunk that ends with this block; note a block that looks in use."""
        start, end = block - BLOCK, block - BLOCK + (size & ~FLAGS)
        behind = memory.word(end + SIZE)
        if not behind & PREV_INUSE:
            whole = memory.word(end)
            binned = end - start <= whole <= end and is_binned(memory, end - whole, whole)
            return (end - whole, end) if binned else None
        mark = memory.word(block + MARK_OFFSET)
        if mark in self._marks and is_cached(memory, block, mark):
            return start, end
        if is_size(behind):
            self.chunks.add(block)
            self._second_words[mark] += 1
            if size & NON_MAIN_ARENA:
                self._heaps.add(block & -HEAP_BYTES)
        return None

    def _find_listed(self, blocks: set[int], chunks: set[Range] | None) -> set[int]:
        """Return those that lie in free memory of the arenas and of the caches of threads."""
        if not blocks:
            return set()
        memory = Snapshot(self._source, self._effort)
        arenas = self._find_arenas(memory)
        free = [top for arena in arenas if (top := find_top(memory, arena))]
        if chunks is None:
            binned = chain.from_iterable(iter_binned(memory, arena) for arena in arenas)
            free += islice(binned, _CHUNKS_LIMIT)
        else:
            free += (chunk for chunk in chunks if is_binned(memory, chunk[0], chunk[1] - chunk[0]))
        sure, unsure = self._find_linked(memory, arenas)
        for _ in range(_WEAK_LOOKS - 1):
            if unsure:
                unsure &= self._find_linked(Snapshot(self._source, self._effort), arenas)[1]
        free = sorted({*free, *sure, *unsure, *self.free})
        starts = [start for start, _ in free]
        freed = set()
        for block in blocks:
            index = bisect_right(starts, block + SIZE_OFFSET) - 1
            if index >= 0 and block + SIZE_OFFSET < free[index][1]:
                freed.add(block)
                self.free.add(free[index])
        return freed

    def _find_linked(self, memory: Snapshot, arenas: list[Arena]) -> tuple[set[Range], set[Range]]:
        """Return the chunks on singly linked lists: those of sound links, and of weak ones."""
        fast: list[SingleList] = []
        left = _CHUNKS_LIMIT
        for arena in arenas:
            for found in iter_fast_bins(memory, arena, left):
                fast.append(found)
                left -= len(found.blocks)
        sure: set[Range] = set()
        unsure: set[Range] = set()
        protects = any(found.ends and found.protected for found in fast)
        for found in fast:
            if found.protected:
                sure |= found.ranges
            elif not protects:
                unsure |= found.ranges
        caches = set(iter_first_blocks(memory, arenas))
        caches.update(word for word, _ in self._second_words.most_common(_CACHES_LIMIT))
        for address in caches:
            if address in _ADDRESSES and (cache := read_cache(memory, address)):
                if cache.marked:
                    sure |= cache.ranges
                else:
                    unsure |= cache.ranges
        return sure, unsure

    def _find_arenas(self, memory: Snapshot) -> list[Arena]:
        if arenas := find_arenas(memory, self._words, self._start):
            return arenas
        for heap in sorted(self._heaps)[:_HEAPS_LIMIT]:
            if arenas := arenas_of_heap(memory, heap):
                return arenas
        return []


def _is_mapped_for_itself(memory: Snapshot, block: int, size: int) -> bool:
    """Whether a block has a mapping of its own.

    Until 2.42 its chunk reaches to the end of the mapping; since 2.43 two words are behind it.
    """
    chunk = block - BLOCK
    before = memory.word(chunk) & -16  # the lowest bit tells of huge pages
    rest = (before + (size & ~FLAGS)) % PAGE_BYTES
    return not (chunk - before) % PAGE_BYTES and rest in (0, PAGE_BYTES - 16)
