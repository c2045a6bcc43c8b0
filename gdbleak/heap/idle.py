"""Blocks that are free though their chunks look as if they were in use. Pure.

They are in fast bins and in the caches of threads: see `gdbleak.heap.lists` and
`gdbleak.heap.tcache`. Of a process that runs, a list that changes while it is followed does not end
properly; it is followed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from gdbleak.effort import EffortError
from gdbleak.heap.arenas import Arena
from gdbleak.heap.chunk import BLOCK, FLAGS, FORWARD, SIZE, SMALLEST_CHUNK
from gdbleak.heap.layouts import SMALL_CACHE_BINS, cache_layout
from gdbleak.heap.lists import SingleList, chunk_bytes, follow, is_binned, read_link
from gdbleak.heap.long_lists import follow_long
from gdbleak.heap.parts import Part
from gdbleak.heap.snapshot import Snapshot
from gdbleak.heap.walk import Flags, Words
from gdbleak.readable import Readable

_LONGEST_CACHE = 1 << 16
"""Blocks in one bin of a cache; the tunable glibc.malloc.tcache_count is no higher."""
_SHORT = 10_000
"""Lists that are longer are followed in another way, which takes as long for any list."""
_TRIES = 8


class Idle(NamedTuple):
    """Free blocks that look used, by the addresses of their chunks, in order."""

    chunks: Words
    is_whole: bool
    """Whether all lists were followed to their ends."""

    def have(self, chunks: Words) -> Flags:
        """Return which chunks are among them."""
        if not len(self.chunks):
            return np.zeros(len(chunks), bool)
        at = np.minimum(np.searchsorted(self.chunks, chunks), len(self.chunks) - 1)
        same: Flags = self.chunks[at] == chunks
        return same


def find_fast(source: Readable, arenas: Iterable[tuple[Arena, Sequence[Part]]]) -> Idle:
    """Return what lies in the fast bins of arenas.

    Args:
        source: The memory of the process.
        arenas: The arenas, and where the memory of each is.

    """
    found: list[Words] = []
    is_whole = True
    for arena, parts in arenas:
        for number, head in enumerate(arena.fast_bins):
            chunks = _follow_bin(source, head, SMALLEST_CHUNK + 16 * number, parts)
            if chunks is None:
                is_whole = False
            else:
                found.append(chunks)
    return _gather(found, is_whole)


def _follow_bin(source: Readable, head: int, size: int, parts: Sequence[Part]) -> Words | None:
    """Return the chunks in a fast bin; None if it changes too fast to be followed.

    Where no end can be confirmed, the longest list that was found is the best guess.
    """
    best: list[int] | None = None
    for _ in range(_TRIES):
        memory = Snapshot(source)
        first = memory.word(head)
        if not first:
            return np.zeros(0, np.uint64)
        found = follow(memory, first + BLOCK, size, BLOCK, _SHORT)
        if found.ends:
            best = max(best or found.blocks, found.blocks, key=len)
            blocks = _confirm(source, head, found, BLOCK)
            if blocks is not None:
                best = blocks
                break
        elif len(found.blocks) == _SHORT:
            chunks = follow_long(source.read, first, size, parts)
            if chunks is not None:
                return chunks
    return None if best is None else np.array(best, np.uint64) - np.uint64(BLOCK)


def _confirm(source: Readable, head: int, found: SingleList, link_offset: int) -> list[int] | None:
    """Return the blocks that a list has by now; None if all of those that were found have left it.

    A block that leaves its list while that is followed may lead to the end of another one, or begin
    with a zero. But the last to come is the first to go: if one of the blocks is in the list still,
    so are all behind it, and their links have not changed since they were read.
    """
    memory = Snapshot(source)
    places = {block: number for number, block in enumerate(found.blocks)}
    newer: list[int] = []
    link = memory.word(head)
    while link:
        block = link + link_offset
        if block in places:
            return newer + found.blocks[places[block] :]
        if len(newer) == _SHORT or block % 16 or chunk_bytes(memory, block) != found.size:
            break
        memory.spend()
        newer.append(block)
        link = read_link(memory, block, found.protected)
    return None


def find_cached(source: Readable, caches: Iterable[int]) -> tuple[Idle, set[int]]:
    """Return what lies in the caches of threads.

    Args:
        source: The memory of the process.
        caches: Blocks that may be caches, by their addresses.

    Returns:
        The cached blocks; and which of the blocks are caches that hold something.

    """
    found: list[Words] = []
    holding: set[int] = set()
    is_whole = True
    for cache in caches:
        lists = _read_cache(source, cache)
        if lists:
            holding.add(cache)
            is_whole &= all(each.ends for each in lists)
            blocks = [block for each in lists if each.ends for block in each.blocks]
            found.append(np.array(blocks, np.uint64) - np.uint64(BLOCK))
    return _gather(found, is_whole), holding


def _read_cache(source: Readable, cache: int) -> list[SingleList] | None:
    """Return the lists of a cache; None if it is none."""
    memory = Snapshot(source)
    layout = cache_layout(0 if cache % 16 else chunk_bytes(memory, cache))
    if layout is None:
        return None
    found = []
    for number in range(SMALL_CACHE_BINS):
        head = cache + layout.entries + 8 * number
        if memory.word(head):
            blocks = _follow_cached(source, head, SMALLEST_CHUNK + 16 * number)
            if blocks is None:
                return None
            found.append(blocks)
    return found


def _follow_cached(source: Readable, head: int, size: int) -> SingleList | None:
    """Return the blocks of a bin of a cache, by where that has the first; None if it is no bin."""
    best: SingleList | None = None
    for _ in range(_TRIES):
        memory = Snapshot(source)
        first = memory.word(head)
        if not first:
            return SingleList(size, [], True, False)
        if first % 16 == 0 and chunk_bytes(memory, first) == size:
            with suppress(EffortError):
                found = follow(memory, first, size, 0, _LONGEST_CACHE)
                best = max(best or found, found, key=_worth)
                blocks = _confirm(source, head, found, 0) if found.ends else None
                if blocks is not None:
                    return found._replace(blocks=blocks)
    return best


def _worth(found: SingleList) -> tuple[bool, int]:
    return found.ends, len(found.blocks)


def find_unsorted(source: Readable, arena: Arena, limit: int = 1 << 20) -> Words:
    """Return the sizes of the chunks that wait in the unsorted bin of an arena, in bytes."""
    memory = Snapshot(source)
    head = arena.bins[0]
    sizes: list[int] = []
    chunk = memory.word(head + FORWARD)
    try:
        while chunk != head and len(sizes) < limit:
            size = 0 if chunk % 16 else memory.word(chunk + SIZE) & ~FLAGS
            if not is_binned(memory, chunk, size):
                break
            sizes.append(size)
            chunk = memory.word(chunk + FORWARD)
    except EffortError:
        pass  # what was met is there all the same
    return np.array(sizes, np.uint64)


def _gather(found: list[Words], is_whole: bool) -> Idle:
    return Idle(np.sort(np.concatenate([*found, np.zeros(0, np.uint64)])), is_whole)
