"""Long lists of free chunks, of millions: all that could be on them is read at once. Pure.

Source: `_int_free` and PROTECT_PTR in malloc/malloc.c: see `gdbleak.heap.lists`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gdbleak.heap.chunk import FLAGS, SIZE
from gdbleak.heap.parts import Part
from gdbleak.heap.walk import GRAIN, Words

_PIECE_BYTES = 4 << 20
_MASK = np.uint64(~FLAGS & (1 << 64) - 1)
_LINK = 16
"""Where the link of a chunk is, in bytes from it."""
_ODD = np.uint64(GRAIN - 1)
_NOWHERE, _END = -1, -2
_PROTECTED_BITS = np.uint64(12)


def follow_long(
    read: Callable[[int, int], bytes], first: int, size: int, parts: Sequence[Part]
) -> Words | None:
    """Return the chunks of a list, by their addresses in order; None if it does not end properly.

    Args:
        read: Reads the memory.
        first: The first chunk.
        size: Of each chunk, in bytes.
        parts: Where the chunks lie.

    """
    if not parts:
        return None
    low, high = min(part.first for part in parts), max(part.end for part in parts)
    found, links = _find_candidates(read, size, parts)
    for is_protected in (True, False):
        following = links
        if is_protected:
            following = links ^ ((found + np.uint64(_LINK)) >> _PROTECTED_BITS)
        # Of most blocks in use, the first word is no link.
        may_be = (following - np.uint64(low) < np.uint64(high - low)) & (following & _ODD == 0)
        may_be |= following == 0
        chunks = found[may_be]
        places = _follow(chunks, following[may_be], first)
        if places is not None:
            met = np.zeros(len(chunks), bool)
            met[places] = True
            result: Words = chunks[met]
            return result
    return None


def _follow(chunks: Words, following: Words, first: int) -> list[int] | None:
    """Return the places of the chunks on a list, by what follows each chunk."""
    if not len(chunks):
        return None
    at = np.searchsorted(chunks, following)
    at = np.where(chunks[np.minimum(at, len(chunks) - 1)] == following, at, _NOWHERE)
    behind = np.where(following == 0, _END, at).tolist()
    place = int(np.searchsorted(chunks, np.uint64(first)))
    if place == len(chunks) or int(chunks[place]) != first:
        return None
    found: list[int] = []
    while place >= 0 and len(found) < len(chunks):
        found.append(place)
        place = behind[place]
    return found if place == _END else None


def _find_candidates(
    read: Callable[[int, int], bytes], size: int, parts: Sequence[Part]
) -> tuple[Words, Words]:
    """Return whatever looks like a chunk of this size, in order of address, and its link."""
    chunks, links = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for part in sorted(parts):
        for start in range(part.first, part.end, _PIECE_BYTES):
            # The link of the last chunk is behind the piece.
            data = read(start, min(_PIECE_BYTES + GRAIN, part.end - start))
            words = np.frombuffer(data, np.uint64, len(data) // GRAIN * 2)
            sizes = words[1:-2:2] & _MASK
            places = np.flatnonzero(sizes == np.uint64(size))
            chunks.append(np.uint64(start) + places.astype(np.uint64) * np.uint64(GRAIN))
            links.append(words[2 * places + _LINK // SIZE])
    return np.concatenate(chunks), np.concatenate(links)
