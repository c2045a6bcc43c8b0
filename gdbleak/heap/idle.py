"""Blocks that are free though their chunks look as if they were in use. Pure.

They are in fast bins and in the caches of threads: see `gdbleak.heap.lists` and
`gdbleak.heap.tcache`. Of a process that runs, a list that changes while it is followed does not end
properly; it is followed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gdbleak.effort import Effort, EffortError
from gdbleak.heap.arenas import Arena
from gdbleak.heap.chunk import BLOCK, FLAGS, FORWARD, SIZE, SMALLEST_CHUNK
from gdbleak.heap.layouts import CACHES, SMALL_CACHE_BINS, cache_layout
from gdbleak.heap.lists import SingleList, chunk_bytes, follow, is_binned, iter_fast_bins
from gdbleak.heap.snapshot import Snapshot
from gdbleak.heap.walk import Words
from gdbleak.readable import Readable

CACHE_CHUNKS = tuple(layout.chunk_bytes for layout in CACHES)
"""Sizes of the chunks in which threads have their caches."""
_LONGEST_CACHE = 1 << 16
"""Blocks in one bin of a cache; the tunable glibc.malloc.tcache_count is no higher."""
_LONGEST_LIST = 1 << 24
_TRIES = 4
_STEPS, _PAGES, _SECONDS = 1 << 26, 1 << 18, 20.0
"""What it may take to follow lists: a freed list of ten million blocks is followed whole."""


class Idle(NamedTuple):
    """Free blocks that look used, by the addresses of their chunks in order, and their sizes."""

    chunks: Words
    sizes: Words
    is_whole: bool
    """Whether all lists were followed to their ends."""


def find_fast(source: Readable, arenas: Iterable[Arena]) -> Idle:
    """Return what lies in the fast bins of arenas."""
    lists: list[SingleList] = []
    is_whole = True
    for arena in arenas:
        best: list[SingleList] = []
        for _ in range(_TRIES):
            found, ends = _follow_bins(source, arena)
            best = max(
                best, found, key=lambda each: sum(len(one.blocks) for one in each if one.ends)
            )
            if ends:
                break
        else:
            is_whole = False
        lists += (each for each in best if each.ends)
    return _gather(lists, is_whole)


def _count_whole(lists: list[SingleList]) -> int:
    return sum(len(each.blocks) for each in lists if each.ends)


def _follow_bins(source: Readable, arena: Arena) -> tuple[list[SingleList], bool]:
    memory = _snapshot(source)
    found: list[SingleList] = []
    try:
        for each in iter_fast_bins(memory, arena, _LONGEST_LIST):
            found.append(each)
    except EffortError:
        return found, False
    return found, all(each.ends for each in found)


def find_cached(source: Readable, caches: Iterable[int]) -> tuple[Idle, set[int]]:
    """Return what lies in the caches of threads.

    Args:
        source: The memory of the process.
        caches: Blocks that may be caches, by their addresses.

    Returns:
        The cached blocks; and which of the blocks are caches that hold something.

    """
    lists: list[SingleList] = []
    holding: set[int] = set()
    is_whole = True
    for cache in caches:
        for _ in range(_TRIES):
            found = _read_cache(source, cache)
            if found is None or all(each.ends for each in found):
                break
        else:
            is_whole = False
        if found:
            holding.add(cache)
            lists += (each for each in found if each.ends)
    return _gather(lists, is_whole), holding


def _read_cache(source: Readable, cache: int) -> list[SingleList] | None:
    """Return the lists of a cache; None if it is none."""
    memory = _snapshot(source)
    layout = cache_layout(0 if cache % 16 else chunk_bytes(memory, cache))
    if layout is None:
        return None
    found = []
    for number in range(SMALL_CACHE_BINS):
        first = memory.word(cache + layout.entries + 8 * number)
        if not first:
            continue
        size = SMALLEST_CHUNK + 16 * number
        if first % 16 or chunk_bytes(memory, first) != size:
            return None
        try:
            found.append(follow(memory, first, size, 0, _LONGEST_CACHE))
        except EffortError:
            return found
    return found


def find_unsorted(source: Readable, arena: Arena, limit: int = 1 << 20) -> Words:
    """Return the sizes of the chunks that wait in the unsorted bin of an arena, in bytes."""
    memory = _snapshot(source)
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


def _gather(lists: Iterable[SingleList], is_whole: bool) -> Idle:
    lists = list(lists)
    chunks = np.array([block - BLOCK for each in lists for block in each.blocks], np.uint64)
    sizes = np.repeat(
        np.array([each.size for each in lists], np.uint64), [len(each.blocks) for each in lists]
    )
    chunks, first = np.unique(chunks, return_index=True)  # a block may have moved meanwhile
    return Idle(chunks, sizes[first], is_whole)


def _snapshot(source: Readable) -> Snapshot:
    return Snapshot(source, Effort(_STEPS, seconds=_SECONDS), _PAGES)
