"""Blocks that wait in tcmalloc's caches: for its spans, these are in use. Pure.

Source: gperftools 2.8 to 2.18, src/thread_cache.h and central_freelist.h. The cache of a thread has
a list for each size, which says how many it has and what size that is: so it is known by the sizes.
Caches are linked with each other. What threads exchange is in an array of records, one for each
size, which have their own numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.others.structures import Memory
from gdbleak.memory.pieces import Range

_CLASSES = 128
_LIST_WORDS = 4
"""Of a list of a thread: the first block; how many there are; limits; the size."""
_LISTS = (0, 2)
"""Where in the cache of a thread the lists begin, in words: links stood before them once."""
_LINKS_WORDS = 32
"""So far behind the lists the links to other caches are looked for."""
_PROVED = 24
_MOST_CACHES, _MOST_BATCH = 1 << 14, 1 << 12

_RECORD_WORDS = (152, 160, 144)
"""How long a record of what is exchanged may be: it fills whole lines of the processor's cache."""
_BATCHES = 15
"""Where the batches are behind the number of the size: the first block and the last of each."""
_MOST_BATCHES = 64


def count_of_threads(
    memory: Memory, data: list[Range], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Return how many blocks of each size class threads cache, and how many threads do.

    Args:
        memory: The process.
        data: Where the variables of tcmalloc are; one refers to the first cache.
        sizes: Its table of sizes.

    """
    proved = np.flatnonzero(sizes)[:_PROVED]
    waiting = _find_first(memory, data, sizes)
    counts, caches, tried = np.zeros(_CLASSES, np.int64), 0, set(waiting)
    while waiting and caches < _MOST_CACHES:
        at = waiting.pop()
        for ahead in _LISTS:
            words = memory.words(at + 8 * ahead, _CLASSES * _LIST_WORDS + _LINKS_WORDS)
            lists = words[: _CLASSES * _LIST_WORDS].reshape(_CLASSES, _LIST_WORDS)
            found = (lists[:, 3] & np.uint64(0xFFFFFFFF)).astype(np.int64)
            if not (found[proved] == sizes[proved]).all():
                continue
            caches += 1
            counts += (lists[:, 1] & np.uint64(0xFFFFFFFF)).astype(np.int64)
            links = words[_CLASSES * _LIST_WORDS :].tolist() + memory.words(at, ahead).tolist()
            new = {link for link in links if link % 8 == 0 and 1 << 16 <= link < 1 << 47} - tried
            tried |= new
            waiting += new
            break
    return counts, caches


def _find_first(memory: Memory, data: list[Range], sizes: NDArray[np.int64]) -> list[int]:
    """Return what variables refer to and may be caches, by the sizes of two lists."""
    found: list[int] = []
    for _, words in memory.iter_pointers(data):
        rows = memory.gather(words, max(_LISTS) + 3 * _LIST_WORDS)
        for ahead in _LISTS:
            lists = rows[:, ahead + 3 :: _LIST_WORDS][:, 1:3] & np.uint64(0xFFFFFFFF)
            found += words[(lists == sizes[1:3]).all(axis=1)].tolist()
    return [*dict.fromkeys(found)]


def count_exchanged(memory: Memory, data: list[Range]) -> NDArray[np.int64] | None:
    """Return how many blocks of each size class wait between threads; None where that is unclear.

    They wait in batches, all batches of one size have as many blocks.
    """
    first = _find_records(memory, data)
    if first is None:
        return None
    at, stride = first
    counts = np.zeros(_CLASSES, np.int64)
    for number in range(1, _CLASSES):
        words = memory.words(at + 8 * stride * (number - 1), stride)
        if int(words[0]) != number:
            break
        batches = int(words[_BATCHES + 2 * _MOST_BATCHES]) & 0xFFFFFFFF
        if batches > _MOST_BATCHES:
            return None
        if batches:
            counts[number] = batches * _length(memory, *words[_BATCHES : _BATCHES + 2].tolist())
    return counts


def _find_records(memory: Memory, data: list[Range]) -> tuple[int, int] | None:
    """Return where the first record has its number, which is 1, and how long records are."""
    for address, words in memory.iter_touched(data):
        for stride in _RECORD_WORDS:
            short = len(words) - 3 * stride
            if short <= 0:
                continue
            good = words[:short] == 1
            for ahead in (1, 2, 3):
                good &= words[ahead * stride :][:short] == ahead + 1
            if (found := np.flatnonzero(good)).size:
                return address + 8 * int(found[0]), stride
    return None


def _length(memory: Memory, first: int, last: int) -> int:
    """Return how many blocks a list from one block to another has."""
    count, at = 1, first
    while at and at != last and count < _MOST_BATCH:
        at = memory.word(at)
        count += 1
    return count
