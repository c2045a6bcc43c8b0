"""Which blocks of glibc's malloc are free now, told from the memory of a process that runs.

A block that is said to be free is free: several words must agree on it, read twice, of which
no two can be as they are while the block is in use. One that is not found may be free all the
same. A block that is freed and handed out again at the same address is in use.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from struct import unpack

from gdbleak.glibc_arena import (
    Arena,
    arena_of_heap,
    arenas_around,
    find_arenas,
    find_top,
    first_chunks,
    is_listed,
    iter_binned,
    iter_fast,
)
from gdbleak.glibc_tcache import has_key, iter_cached, random_words
from gdbleak.snapshot import Snapshot

_ADDRESSES = range(1 << 16, 1 << 47, 16)
_BATCH = 4096
_DATA_LIMIT = 16 << 20
_FLAGS = 7
_IS_MMAPPED = 2
_NON_MAIN_ARENA = 4
_PREV_INUSE = 1
_HEAPS_ASKED = 16
_CACHES_LIMIT = 1024


class Heap:
    """The heap of one process.

    `read(address, size)` returns fewer bytes where unmapped memory begins, as Memory.read does.
    `data` is the range of libc's writable data, from RELRO to the end of its .bss: without it
    nothing is known of the main arena unless other arenas lead to it.
    """

    def __init__(self, read: Callable[[int, int], bytes], data: tuple[int, int] | None) -> None:
        self._read = read
        self._data = data
        self._keys: frozenset[bytes] | None = None

    def find_cached(self, blocks: Collection[int]) -> set[int]:
        """Return which of these addresses are marked as lying in the cache of a thread.

        That takes no longer than reading a word of each, and finds the blocks that were freed just
        now; most of them are handed out again in another moment.
        """
        if self._keys is None:
            start, end = self._data or (0, 0)
            words = _words(self._read(start, min(end - start, _DATA_LIMIT)) if end > start else b"")
            self._keys = frozenset(key.to_bytes(8, "little") for key in random_words(words))
        memory = Snapshot(self._read)
        memory.fetch(blocks)
        marked = [block for block in blocks if memory.bytes(block + 8) in self._keys]
        keys = {int.from_bytes(key, "little") for key in self._keys}
        return {block for block in marked if has_key(memory, block, keys)}

    def find_freed(self, blocks: Iterable[int]) -> set[int]:
        """Return which of these addresses, as malloc returned them, are those of free blocks."""
        freed = {block for block in blocks if block in _ADDRESSES}
        for _ in range(2):
            freed = _Look(self._read, self._data).find_freed(freed)
        return freed


class _Look:
    """One look at the heap."""

    def __init__(self, read: Callable[[int, int], bytes], data: tuple[int, int] | None) -> None:
        self._read = read
        start, end = data or (0, 0)
        self._data = read(start, min(end - start, _DATA_LIMIT)) if end > start else b""
        self._data_start = start

    def find_freed(self, blocks: set[int]) -> set[int]:
        ordered = sorted(blocks)
        freed: set[int] = set()
        for first in range(0, len(ordered), _BATCH):
            freed |= self._find_marked(ordered[first : first + _BATCH])
        return freed | self._find_listed([block for block in ordered if block not in freed])

    def _find_marked(self, blocks: list[int]) -> set[int]:
        """Return those that are free by what stands in and behind them."""
        memory = Snapshot(self._read)
        memory.fetch(block - 8 for block in blocks)
        memory.fetch(blocks)
        size = {block: memory.word(block - 8) for block in blocks}
        memory.fetch(block + (size[block] & ~_FLAGS) for block in blocks if size[block] < 1 << 40)
        keys = random_words(_words(self._data))
        freed = set()
        unreadable = set()
        for block in blocks:
            if not size[block]:
                if not memory.is_readable(block - 8):
                    unreadable.add(block)
            elif not size[block] & _IS_MMAPPED and (
                _is_merged(memory, block, size[block] & ~_FLAGS) or has_key(memory, block, keys)
            ):
                freed.add(block)
        return freed | unreadable if self._lives(blocks) else set()

    def _lives(self, blocks: list[int]) -> bool:
        """Whether the process has not ended: of one that has, nothing can be read."""
        if self._data:
            return bool(self._read(self._data_start, 8))
        return any(self._read(block, 8) for block in blocks)

    def _find_listed(self, blocks: list[int]) -> set[int]:
        """Return those that lie in what the arenas and the caches of threads list as free."""
        if not blocks:
            return set()
        memory = Snapshot(self._read)
        memory.fetch(block - 8 for block in blocks)
        arenas = self._find_arenas(memory, blocks)
        ranges: list[tuple[int, int]] = []
        single: set[int] = set()
        for arena in arenas:
            top = find_top(memory, arena)
            ranges += [top] if top else []
            ranges += iter_binned(memory, arena)
            single.update(chunk + 16 for chunk in iter_fast(memory, arena))
        caches = {chunk + 16 for chunk in first_chunks(memory, arenas)}
        caches.update(memory.word(block + 8) for block in blocks)
        for cache in sorted(caches)[:_CACHES_LIMIT]:
            single.update(iter_cached(memory, cache))
        ranges.sort()
        starts = [start for start, _ in ranges]
        freed = single & set(blocks)
        for block in blocks:
            index = bisect_right(starts, block) - 1
            if index >= 0 and block < ranges[index][1]:
                freed.add(block)
        return freed

    def _find_arenas(self, memory: Snapshot, blocks: list[int]) -> list[Arena]:
        if arenas := find_arenas(memory, self._data, self._data_start):
            return arenas
        asked = {
            block & -(64 << 20) for block in blocks if memory.word(block - 8) & _NON_MAIN_ARENA
        }
        for heap in sorted(asked)[:_HEAPS_ASKED]:
            arena = arena_of_heap(memory, heap)
            if arena and (arenas := arenas_around(memory, arena)):
                return arenas
        return []


def _words(data: bytes) -> tuple[int, ...]:
    return unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])


def _is_merged(memory: Snapshot, block: int, size: int) -> bool:
    """Whether a block is a chunk on a bin's list, or the last part of one."""
    behind = block - 16 + size
    if size % 16 or memory.word(behind + 8) & _PREV_INUSE:
        return False
    whole = memory.word(behind)
    return size <= whole <= behind and is_listed(memory, behind - whole, whole)
