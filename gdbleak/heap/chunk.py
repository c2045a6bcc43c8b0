"""What stands before a block of glibc's malloc. Pure.

Source: the comment on `struct malloc_chunk` in glibc's malloc/malloc.c. The word before a block is
the size of its chunk, with flags in the lowest three bits. A block is its chunk less the two words
before it, and, unless it was mapped for itself, plus the first word of the next chunk.
"""

from __future__ import annotations

SIZE_OFFSET = -8
"""Where the word is, from the block."""

BLOCK = 16
"""Where the block begins, from the start of the chunk; so are the next ones."""

SIZE = 8
"""The word that `SIZE_OFFSET` means."""

FORWARD, BACKWARD = 16, 24
"""The links of a chunk in a bin: to the next one, and to the one before (`fd`, `bk`)."""

MARK_OFFSET = 8
"""Where a block in the cache of a thread has its mark: see `gdbleak.heap.tcache`."""

HEAD_WORDS = 3
"""How many words from `SIZE_OFFSET` on tell whether a block is free: the mark is the third."""

PREV_INUSE = 1
IS_MMAPPED = 2
NON_MAIN_ARENA = 4
FLAGS = 7
SMALLEST_CHUNK = 32
LARGEST_CHUNK = 1 << 40
"""No chunk is as large, but the words of a program are."""


def usable_size(word: int) -> int:
    """Return how many bytes of a block may be used, by the word before it.

    >>> usable_size(0x71)
    104

    """
    return max((word & ~FLAGS) - (16 if word & IS_MMAPPED else 8), 0)


def is_size(word: int) -> bool:
    """Return whether a chunk can have this word as its size, flags included.

    >>> is_size(0x71), is_size(0x79)
    (True, False)

    """
    return SMALLEST_CHUNK <= word < LARGEST_CHUNK and not word & 8
