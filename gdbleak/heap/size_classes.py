"""Size classes: which blocks of a heap are counted together. Pure."""

from __future__ import annotations

_EXACT = 1032
"""The largest block that has a class of its own size: larger ones are as different as they come.

Source: the largest size that a thread caches, MAX_TCACHE_SIZE in glibc's malloc/malloc.c.
"""
_BITS = 4
"""Of larger ones, so many leading bits make a class: eight from each power of two to the next."""


def key_of(size: int) -> int:
    """Return what stands for the class of a size, in bytes that the program may use.

    >>> key_of(24), key_of(1032), key_of(1_050_000), key_of(1_060_000)
    (24, 1032, 1048576, 1048576)

    """
    if size <= _EXACT:
        return size
    shift = size.bit_length() - _BITS
    return max(size >> shift << shift, _EXACT + 1)
