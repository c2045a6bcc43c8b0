"""Which blocks are kept where not all can be: those whose address has a hash with zeros at its end.

Pure. A block's events are all kept or all left out, so what is kept is complete for a known share.
"""

from __future__ import annotations

HASH_SHIFT, HASH_FACTOR = 4, 0x9E3779B97F4A7C15
"""The hash of an address: shifted right, multiplied modulo 2**64, then its upper 32 bits."""

HASH_BITS = 32


def hash_address(address: int) -> int:
    """Return the hash by which blocks are chosen, of 32 bits."""
    return ((address >> HASH_SHIFT) * HASH_FACTOR & (1 << 64) - 1) >> 32
