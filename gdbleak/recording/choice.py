"""Which blocks are kept where not all can be: those whose address draws a lot that ends in zeros.

Pure. A block's events are all kept or all left out, so what is kept is complete for a known share.
"""

from __future__ import annotations

from collections.abc import Callable

HASH_SHIFT, HASH_FACTOR = 4, 0x9E3779B97F4A7C15
"""The hash of an address: shifted right, multiplied modulo 2**64, then its upper 32 bits."""

HASH_BITS = 32

_WORD = (1 << 64) - 1

Hash = Callable[[int], int]
"""Returns the 32 bits that an address comes to."""


def hash_address(address: int) -> int:
    """Return the hash by which it is chosen of which blocks more of the stack is kept."""
    return ((address >> HASH_SHIFT) * HASH_FACTOR & _WORD) >> 32


def draw_lot(address: int) -> int:
    """Return the lot by which blocks are kept or left out, of 32 bits.

    Addresses that are equally far from each other have hashes that are, and would be kept in runs:
    so what was kept would say little about the others. The second multiplication prevents that.
    """
    product = (address >> HASH_SHIFT) * HASH_FACTOR & _WORD
    return ((product ^ product >> 32) * HASH_FACTOR & _WORD) >> 32


def lot_of(version: int) -> Hash:
    """Return by what blocks were chosen in recordings of a version."""
    return draw_lot if version >= _FIRST_WITH_LOTS else hash_address


_FIRST_WITH_LOTS = 9
