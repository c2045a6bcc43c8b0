"""Which memory of glibc's malloc belongs to nobody: what stands there refers to nothing. Pure.

That is what blocks that were freed have left, on lists and behind the last block of an arena, and
what the allocator keeps for itself: its lists lead to chunks, whose addresses are also those behind
the last bytes of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from struct import unpack

from gdbleak.effort import Effort, EffortError
from gdbleak.heap.arenas import Arena, find_arenas, find_top, iter_first_blocks
from gdbleak.heap.chunk import SIZE
from gdbleak.heap.lists import Range, iter_binned, iter_fast_bins
from gdbleak.heap.snapshot import Snapshot
from gdbleak.heap.tcache import read_cache
from gdbleak.readable import Readable

_DATA_LIMIT = 1 << 20
_CHUNKS_LIMIT = 50_000
"""How many chunks on lists are looked at: what is left of stale words does no more than hide."""
STEPS, SECONDS = 2_000_000, 1.0
"""How many steps and seconds it may take."""


def find_free_memory(source: Readable, data: tuple[int, int]) -> list[Range]:
    """Return first address, and the one behind the last, of what belongs to nobody; in order.

    Args:
        source: The memory of the process, which runs.
        data: From where to where libc's writable data lies.

    """
    found = source.read(data[0], min(data[1] - data[0], _DATA_LIMIT))
    words = unpack(f"<{len(found) // 8}Q", found[: len(found) & -8])
    memory = Snapshot(source, Effort(STEPS, seconds=SECONDS))
    ranges: set[Range] = set()
    try:
        for start, end in _iter_free(memory, find_arenas(memory, words, data[0])):
            ranges.add((start, end))
    except EffortError:
        pass  # what was found until then is free all the same
    return _join(ranges)


def _iter_free(memory: Snapshot, arenas: list[Arena]) -> Iterator[Range]:
    for arena in arenas:
        yield arena.address, arena.end
    tops = (top for arena in arenas if (top := find_top(memory, arena)))
    binned = islice(
        chain.from_iterable(iter_binned(memory, arena) for arena in arenas), _CHUNKS_LIMIT
    )
    fast = (
        each.ranges for arena in arenas for each in iter_fast_bins(memory, arena, _CHUNKS_LIMIT)
    )
    caches = (
        cache.ranges
        for first in iter_first_blocks(memory, arenas)
        if (cache := read_cache(memory, first)) and cache.marked
    )
    for start, end in chain(tops, chain.from_iterable(caches), chain.from_iterable(fast), binned):
        # The first word of a chunk is the last one of the block before it.
        yield start + SIZE, end


def _join(ranges: set[Range]) -> list[Range]:
    """Return ranges in order, those that overlap or touch joined."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
