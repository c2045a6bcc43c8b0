"""The caches that threads keep of freed chunks, in glibc's malloc since 2.26.

Source: `tcache_perthread_struct` and `tcache_entry` in malloc/malloc.c. A block in a cache names
the next one in its first word, since 2.32 mixed with its own address, and in its second word, since
2.29, the cache itself, or, since 2.34, a random number that stands in libc's data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gdbleak.snapshot import Snapshot

_BINS = 64
_LARGEST_CHUNK = 16 * (_BINS + 1)
_FLAGS = 7
_LAYOUTS = {0x250: 1, 0x290: 2}
"""Size of the chunk that holds one: bytes of each of its counts (2 since glibc 2.30)."""


def random_words(words: Iterable[int]) -> set[int]:
    """Return those that may be the key of tcaches: they are no address and no small number."""
    return {word for word in words if 1 << 48 <= word < (1 << 64) - (1 << 48)}


def has_key(memory: Snapshot, block: int, keys: set[int]) -> bool:
    """Return whether a block is marked with one of the keys, and linked as in a tcache.

    malloc clears the mark before it hands out the block.
    """
    key = memory.word(block + 8)
    if key not in keys:
        return False
    size = memory.word(block - 8) & ~_FLAGS
    following = memory.word(block) ^ block >> 12
    return size <= _LARGEST_CHUNK and (
        not following
        or (
            following % 16 == 0
            and memory.word(following + 8) == key
            and memory.word(following - 8) & ~_FLAGS == size
        )
    )


def iter_cached(memory: Snapshot, cache: int) -> Iterator[int]:
    """Yield the blocks of a tcache at an address; none if it does not look like one.

    A list counts only as a whole: as many blocks as it is said to have, all of its size, and
    marked alike: with the cache, with nothing (in which case one read proves little) or with
    the same number.
    """
    count_bytes = _LAYOUTS.get(memory.word(cache - 8) & ~_FLAGS) if cache % 16 == 0 else None
    if not count_bytes:
        return
    for number in range(_BINS):
        at = cache + number * count_bytes
        count = memory.word(at & -8) >> (at & 7) * 8 & (1 << 8 * count_bytes) - 1
        block = memory.word(cache + _BINS * count_bytes + 8 * number)
        yield from _walk(memory, block, count, 16 * (number + 2))


def _walk(memory: Snapshot, block: int, count: int, size: int) -> list[int]:
    blocks: list[int] = []
    while block:
        if len(blocks) == count or block % 16 or memory.word(block - 8) & ~_FLAGS != size:
            return []
        blocks.append(block)
        link = memory.word(block)
        hidden = link ^ block >> 12
        plain = not link or (link % 16 == 0 and memory.word(link - 8) & ~_FLAGS == size)
        block = link if plain else hidden
    return blocks if len(blocks) == count else []
