"""Chunks of glibc's malloc: what stands before, in and behind a block. Pure.

Source: the comment on `struct malloc_chunk` in glibc's malloc/malloc.c. The word before a block is
the size of its chunk, with flags in the lowest three bits. A block is its chunk without the two
words before the block and, unless it has a mapping of its own, with the first word of the next.
"""

from __future__ import annotations

SIZE_OFFSET = -8
"""Where the size is, in bytes from the block."""

BLOCK = 16
"""Where the block begins, in bytes from its chunk."""

SIZE = 8
"""Where the size is, in bytes from the chunk."""

FORWARD, BACKWARD = 16, 24
"""Where the links of a chunk in a bin are, in bytes from it: to the next one, and to the one before
(`fd`, `bk`)."""

MARK_OFFSET = 8
"""Where a block in the cache of a thread has its mark, in bytes from it: see
`gdbleak.heap.tcache`."""

HEAD_WORDS = 3
"""How many words, from `SIZE_OFFSET` on, tell whether a block is free: the third is the mark."""

PREV_INUSE = 1
IS_MMAPPED = 2
NON_MAIN_ARENA = 4
FLAGS = 7
SMALLEST_CHUNK = 32
LARGEST_CHUNK = 1 << 40
"""All chunks are smaller, and most other words of a program are not."""


def usable_size(word: int) -> int:
    """Return how many bytes of a block its program may use, by the word before it.

    >>> usable_size(0x71)
    104

    """
    return max((word & ~FLAGS) - (16 if word & IS_MMAPPED else 8), 0)


def chunk_size(requested: int) -> int:
    """Return the size of the chunk that a request of so many bytes gets, at least.

    It may be larger by up to 32 bytes where the rest would have been too small for a chunk.

    >>> [chunk_size(requested) for requested in (0, 24, 25, 40, 41)]
    [32, 32, 48, 48, 64]

    """
    return max(requested + SIZE + FLAGS + SIZE & ~15, SMALLEST_CHUNK)


def is_size(word: int) -> bool:
    """Return whether a chunk can have this word as its size, flags included.

    >>> is_size(0x71), is_size(0x79)
    (True, False)

    """
    return SMALLEST_CHUNK <= word < LARGEST_CHUNK and not word & 8
