"""What stands before a block of glibc's malloc. Pure.

Source: the comment on `struct malloc_chunk` in glibc's malloc/malloc.c. The word before a block is
the size of its chunk, with flags in the lowest three bits. A block is its chunk less the two words
before it, and, unless it was mapped for itself, plus the first word of the next chunk.
"""

from __future__ import annotations

SIZE_OFFSET = -8
"""Where the word is, from the block."""

_FLAGS = 7
_IS_MMAPPED = 2


def usable_size(word: int) -> int:
    """Return how many bytes of a block may be used, by the word before it.

    >>> usable_size(0x71)
    104

    """
    return max((word & ~_FLAGS) - (16 if word & _IS_MMAPPED else 8), 0)
