"""Blocks that wait in jemalloc's caches of threads: for its slabs, these are in use. Pure.

Source: jemalloc 5.0 to 5.3.1, include/jemalloc/internal: cache_bin.h, tcache_structs.h. Each arena
has a ring of descriptors, one for each cache. Since 5.3 a descriptor refers to the bins, and the
word before these to what the descriptor is the second member of. Before, it is in the same record
as the bins of small sizes, and refers to these and to those of large ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.others.structures import Memory, Words
from gdbleak.memory.pieces import Range

_ARENA_WORDS = 1 << 13
"""So much of an arena is searched for its ring: its statistics come before that."""
_MOST_ARENAS, _MOST_CACHES = 4096, 1 << 16
_BIN_WORDS = 3
_MOST_BINS = 80
_LARGEST_BIN = 1 << 13
_OLD_RECORD = 4096
_LINK_BYTES = 16


def count_cached(memory: Memory, data: Iterable[Range]) -> tuple[NDArray[np.int64], int]:
    """Return how many blocks of each size class are cached, and by how many caches.

    Args:
        memory: The process.
        data: Where the variables of jemalloc are; one is the array of its arenas.

    """
    counts = np.zeros(_MOST_BINS, np.int64)
    seen: set[int] = set()
    for arena in _find_arenas(memory, data):
        for descriptor in _find_ring(memory, arena):
            if descriptor not in seen and len(seen) < _MOST_CACHES:
                seen.add(descriptor)
                counts += _count(memory, descriptor)
    return counts, len(seen)


def _find_arenas(memory: Memory, data: Iterable[Range]) -> list[int]:
    """Return what may be arenas: what variables refer to, and is at the begin of a cache line."""
    found: dict[int, None] = {}
    for _, words in memory.iter_pointers(data):
        found.update(dict.fromkeys(words[words % 64 == 0].tolist()))
    return [*found][:_MOST_ARENAS]


def _find_ring(memory: Memory, arena: int) -> list[int]:
    """Return the descriptors of the caches of an arena; nothing if it is not one."""
    words = memory.words(arena, _ARENA_WORDS)
    places = np.unique(words[(words % 8 == 0) & (words >= 1 << 16) & (words < 1 << 47)])
    rows = memory.gather(places, 4)
    linked = memory.gather(rows[:, 0], 2)[:, 1] == places
    places, rows = places[linked], rows[linked]
    is_new = memory.gather(rows[:, 2] - 8, 1)[:, 0] == places - np.uint64(_LINK_BYTES)
    before = places - rows[:, 2]
    behind = rows[:, 3] - places
    is_old = (rows[:, 2] < places) & (before < _OLD_RECORD) & (rows[:, 3] > places)
    is_old &= (behind < _OLD_RECORD) & (before % 8 == 0)
    found: dict[int, None] = {}
    for first in places[is_new | is_old].tolist():
        at = first
        while at not in found and len(found) < _MOST_CACHES:
            found[at] = None
            at = memory.word(at)
    return [*found]


def _count(memory: Memory, descriptor: int) -> NDArray[np.int64]:
    """Return how many blocks of each size class one cache holds."""
    _, _, bins, large = memory.words(descriptor, 4).tolist()
    if memory.word(bins - 8) == descriptor - _LINK_BYTES:
        return _count_new(memory.words(bins, _MOST_BINS * _BIN_WORDS))
    small = (descriptor - bins) // 8 // _BIN_WORDS
    return _count_old(memory, bins, large, small)


def _count_new(words: Words) -> NDArray[np.int64]:
    """Count since 5.3: by the low bits of where the stack of each bin ends and begins."""
    rows = words.reshape(_MOST_BINS, _BIN_WORDS)
    top = rows[:, 0] & np.uint64(0xFFFF)
    empty = rows[:, 2] >> np.uint64(32) & np.uint64(0xFFFF)
    counts = ((empty - top & np.uint64(0xFFFF)) // 8).astype(np.int64)
    return _up_to_the_last(counts, rows[:, 0])


def _count_old(memory: Memory, bins: int, large: int, small: int) -> NDArray[np.int64]:
    """Count before 5.3: each bin says how many it has."""
    rows = np.concatenate(
        [
            memory.words(bins, small * _BIN_WORDS),
            memory.words(large, (_MOST_BINS - small) * _BIN_WORDS),
        ]
    ).reshape(_MOST_BINS, _BIN_WORDS)
    return _up_to_the_last((rows[:, 0] >> np.uint64(32)).astype(np.int64), rows[:, 2])


def _up_to_the_last(counts: NDArray[np.int64], stacks: Words) -> NDArray[np.int64]:
    """Return counts without those behind the last bin, whose stack has no address."""
    good = (stacks > 1 << 16) & (stacks < 1 << 47) & (counts <= _LARGEST_BIN)
    return np.where(np.logical_and.accumulate(good), counts, 0)
