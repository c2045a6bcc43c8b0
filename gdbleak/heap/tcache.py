"""The caches of freed blocks that threads keep in glibc's malloc since 2.26. Pure.

Source: `tcache_perthread_struct`, `tcache_entry`, `tcache_get` and `tcache_key` in malloc/malloc.c,
glibc 2.26 to 2.43. The first word of a block in a cache links to the next block. The second word is
its mark: since 2.29 the address of the cache, since 2.34 a random number that stands in libc's data
and is removed before a block is handed out. Until 2.28 there is no mark. Since 2.42 a cache counts
the blocks that it has room for, not those that it holds: only the mark tells what lies in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gdbleak.heap.chunk import MARK_OFFSET, SMALLEST_CHUNK
from gdbleak.heap.layouts import SMALL_CACHE_BINS, cache_layout
from gdbleak.heap.lists import Range, chunk_bytes, follow
from gdbleak.heap.snapshot import Snapshot

_LARGEST_CHUNK = SMALLEST_CHUNK + 16 * (SMALL_CACHE_BINS - 1)
_RANDOM = range(1 << 48, (1 << 64) - (1 << 48))


@dataclass(frozen=True)
class Cache:
    """What lies in one cache."""

    ranges: set[Range]
    """Start and end of the chunks."""
    marked: bool
    """False if only links say that they are free: a program may write the same words."""


def random_words(words: Iterable[int]) -> set[int]:
    """Return those that may be the mark of glibc 2.34: neither an address nor a small number."""
    return {word for word in words if word in _RANDOM}


def is_cached(memory: Snapshot, block: int, mark: int) -> bool:
    """Return whether a block with a random mark is linked as in a cache."""
    size = chunk_bytes(memory, block)
    following = memory.word(block) ^ block >> 12
    return size <= _LARGEST_CHUNK and (
        not following
        or (
            following % 16 == 0
            and memory.word(following + MARK_OFFSET) == mark
            and chunk_bytes(memory, following) == size
        )
    )


def read_cache(memory: Snapshot, address: int) -> Cache | None:
    """Return what lies in the cache at an address; None if there is no cache that counts blocks.

    The blocks of a list only count if there are as many as the cache says, all with the same mark.
    """
    layout = cache_layout(0 if address % 16 else chunk_bytes(memory, address))
    if layout is None or not layout.counts_blocks:
        return None
    count_bytes = layout.number_bytes
    own: set[Range] = set()
    unmarked: set[Range] = set()
    by_mark: dict[int, set[Range]] = {}
    for number in range(layout.bins):
        memory.spend()
        first = memory.word(address + layout.entries + 8 * number)
        at = address + number * count_bytes
        count = memory.word(at & -8) >> (at & 7) * 8 & (1 << 8 * count_bytes) - 1
        if not first or not count:
            continue
        found = follow(memory, first, SMALLEST_CHUNK + 16 * number, 0, count)
        if not found.ends or len(found.blocks) != count:
            continue
        marks = {memory.word(block + MARK_OFFSET) for block in found.blocks}
        if marks == {address}:
            own |= found.ranges
        elif found.protected and len(marks) == 1 and random_words(marks):
            by_mark.setdefault(marks.pop(), set()).update(found.ranges)
        elif not found.protected and count_bytes == 1:
            unmarked |= found.ranges
    if own:
        return Cache(own, marked=True)
    if by_mark:
        # A list that was read while it changed may end in any other word.
        return Cache(max(by_mark.values(), key=len), marked=True)
    return Cache(unmarked, marked=False)
